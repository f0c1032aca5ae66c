from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from instances import Sleeper, until

from gitpaas import shell
from gitpaas.errors import CommandFailed

ENV = {"PATH": os.environ["PATH"]}


def sh(script: str, *, timeout: float = 100, **more: object) -> tuple[shell.Finished, list[str]]:
    lines: list[str] = []
    done = shell.run(["/bin/sh", "-c", script], env=ENV, timeout=timeout, on_line=lines.append, **more)
    return done, lines


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_output_and_errors_come_as_one_stream_of_lines() -> None:
    done, lines = sh("echo one; echo two >&2; printf three")
    assert lines == ["one", "two", "three"]
    assert done == shell.Finished(0, ("one", "two", "three"))


def test_a_program_that_does_not_stop_talking_is_cut_short_but_for_its_end() -> None:
    done, lines = sh("head -c 20m /dev/zero | tr '\\0' x | fold -w 99; echo; echo the end")
    assert sum(map(len, lines)) < 5 << 20
    assert lines[-1] == done.tail[-1] == "the end"
    cut = next(line for line in lines if line.startswith("..."))
    assert int(cut.split()[1]) > 100_000
    assert lines[-20:] == list(done.tail)
    assert lines.index(cut) == len(lines) - 21


def test_lines_come_while_the_program_runs() -> None:
    sleeper = Sleeper()
    shell.run(
        ["/bin/sh", "-c", f"echo now; {{ {sleeper}; }} 2>/dev/null"],
        env=ENV,
        timeout=100,
        on_line=lambda _: sleeper.end(),
    )


def test_a_partial_line_is_shown_after_a_moment_and_its_rest_follows() -> None:
    sleeper, lines = Sleeper(), list[str]()

    def hear(line: str) -> None:
        lines.append(line)
        if line == "Continue? ":
            sleeper.end()

    script = f"printf 'Continue? '; {{ {sleeper}; }} 2>/dev/null; echo yes"
    shell.run(["/bin/sh", "-c", script], env=ENV, timeout=100, on_line=hear)
    assert lines == ["Continue? ", "yes"]


def test_carriage_returns_inside_a_line_stay() -> None:
    _, lines = sh(r"printf '10%%\r99%%\rdone\r\n'")
    assert lines == ["10%\r99%\rdone"]


def test_bytes_that_are_no_text_do_not_stop_it() -> None:
    _, lines = sh(r"printf 'a\377b\n'")
    assert lines == ["a�b"]


def test_an_endless_line_is_cut() -> None:
    _, lines = sh("head -c 200000 /dev/zero | tr '\\0' x")
    assert len(lines) > 1
    assert sum(map(len, lines)) == 200000


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)])
def test_a_bad_end_is_a_code_not_an_exception(script: str, code: int) -> None:
    assert sh(script)[0].code == code


def test_only_the_last_lines_are_kept() -> None:
    assert sh("seq 100")[0].tail == tuple(map(str, range(81, 101)))


def test_a_missing_program_is_code_127() -> None:
    with pytest.raises(CommandFailed, match="no-such-program cannot be started") as caught:
        shell.run(["/no-such-program"], env={}, timeout=1)
    assert caught.value.code == 127


def test_too_slow_kills_the_whole_group() -> None:
    lines: list[str] = []
    start = time.monotonic()
    with pytest.raises(CommandFailed, match=r"longer than 3 seconds") as caught:
        shell.run(["/bin/sh", "-c", "sleep 600 & echo $!; wait"], env=ENV, timeout=3, on_line=lines.append)
    assert time.monotonic() - start < 100
    assert caught.value.code == 124
    assert caught.value.tail == tuple(lines)
    until(lambda: not is_alive(int(lines[0])))


def test_a_child_left_in_the_background_is_not_waited_for_and_does_not_stay() -> None:
    done, lines = sh("sleep 600 & echo $!; exit 4")
    assert done.code == 4
    until(lambda: not is_alive(int(lines[0])))


def test_a_reader_that_raises_leaves_nothing_running() -> None:
    seen: list[int] = []

    def refuse(line: str) -> None:
        seen.append(int(line))
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        shell.run(["/bin/sh", "-c", "echo $$; exec sleep 60"], env=ENV, timeout=100, on_line=refuse)
    assert not is_alive(seen[0])


def test_input_larger_than_a_pipe_arrives_while_output_flows() -> None:
    data = b"x" * 99 + b"\n"
    done, lines = sh("cat", input=data * 20000)
    assert (done.code, len(lines)) == (0, 20000)


def test_a_program_that_ignores_its_input_is_fine() -> None:
    assert sh("exit 0", input=b"x" * 1_000_000)[0].code == 0


def test_the_environment_is_only_what_was_given(tmp_path: Path) -> None:
    lines: list[str] = []
    shell.run(
        [sys.executable, "-I", "-c", "import os; print(os.environ.get('HOME'), os.getcwd())"],
        env={"A": "b"},
        cwd=tmp_path,
        timeout=100,
        on_line=lines.append,
    )
    assert lines == [f"None {tmp_path}"]


def test_capture_gives_stdout_alone() -> None:
    assert shell.capture(["/bin/sh", "-c", "cat; echo noise >&2"], input=b"in\0put") == b"in\0put"


def test_capture_tells_the_end_of_stderr() -> None:
    with pytest.raises(CommandFailed, match="sh exited with 3: no such luck") as caught:
        shell.capture(["/bin/sh", "-c", "echo first >&2; echo no such luck >&2; exit 3"])
    assert (caught.value.code, caught.value.tail) == (3, ("first", "no such luck"))


def test_capture_too_slow() -> None:
    with pytest.raises(CommandFailed) as caught:
        shell.capture(["sleep", "60"], timeout=0.2)
    assert caught.value.code == 124


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a child from outside")
def test_capture_gives_so_much_memory_and_no_more() -> None:
    argv = [sys.executable, "-c", "import sys; sys.stdin.read(); x = bytes(300 * 1024**2); print(len(x))"]
    assert shell.capture(argv, input=b"", memory=1024**3) == b"314572800\n"
    with pytest.raises(CommandFailed, match="MemoryError"):
        shell.capture(argv, input=b"", memory=256 * 1024**2)
