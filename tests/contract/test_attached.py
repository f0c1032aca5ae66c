"""What every runtime must do for a program with somebody at its streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from containers import docker
from instances import MEGABYTE, UID, Host, Sleeper, There, host, until

from gitpaas.config import Config
from gitpaas.errors import RuntimeFailed
from gitpaas.output import Terminal
from gitpaas.runtimes import Attached
from gitpaas.values import Instance

SCREEN = Terminal("xterm-256color", 80, 24)
PATIENCE = 60.0


@pytest.fixture(
    params=[
        pytest.param("confined", marks=pytest.mark.needs("sandbox")),
        "plain",
        pytest.param("docker", marks=pytest.mark.needs("docker")),
    ]
)
def there(request: pytest.FixtureRequest, config: Config) -> Iterator[There]:
    patience = 3600 if request.node.get_closest_marker("patient") else 2
    own = replace(config, stop_grace=patience)
    places = {"confined": lambda: host(own, UID), "plain": lambda: host(own, None), "docker": lambda: docker(own)}
    with places[request.param]() as made:
        yield made


@contextmanager
def opened(there: There, command: str, terminal: Terminal | None = None, **values: object) -> Iterator[Attached]:
    usual: dict[str, object] = {"process": "run", "number": 12, "one_off": 34}
    with there.runtime.open(there.spec(command, **(usual | values)), terminal) as attached:
        yield attached
    assert there.traces() == []


def read_all(attached: Attached) -> dict[int, bytes]:
    """All it writes, to its end."""
    found, deadline = {1: bytearray(), 2: bytearray()}, time.monotonic() + PATIENCE
    while True:
        try:
            stream, data = attached.read(1)
        except TimeoutError:
            assert time.monotonic() < deadline, found
            continue
        if not data:
            return {number: bytes(text) for number, text in found.items()}
        found[stream] += data


def read_until(attached: Attached, wanted: bytes) -> bytes:
    found, deadline = b"", time.monotonic() + PATIENCE
    while wanted not in found:
        assert time.monotonic() < deadline, found
        try:
            _, data = attached.read(1)
        except TimeoutError:
            continue
        assert data, found
        found += data
    return found


def test_output_errors_and_exit_code(there: There) -> None:
    with opened(there, "echo one; echo two >&2; echo three; exit 7") as attached:
        assert read_all(attached) == {1: b"one\nthree\n", 2: b"two\n"}
        assert attached.wait(PATIENCE) == 7


@pytest.mark.patient
def test_program_that_waits_for_its_reader_ends_with_the_body(there: There) -> None:
    with opened(there, "exec yes") as attached:
        read_until(attached, b"y\n")
        time.sleep(0.5)


def test_exit_code_is_known_when_nothing_is_left_of_it(there: There) -> None:
    with opened(there, "exit 7") as attached:
        read_all(attached)
        assert attached.wait(PATIENCE) == 7
    assert attached.wait(0) == 7


@pytest.mark.parametrize("terminal", [None, SCREEN], ids=["pipes", "terminal"])
@pytest.mark.parametrize(
    ("command", "code"), [("kill -KILL $$", 137), ("kill -TERM $$", 143), ("no-such-program", 127)]
)
def test_other_exit_codes(there: There, command: str, code: int, terminal: Terminal | None) -> None:
    with opened(there, command, terminal) as attached:
        read_all(attached)
        assert attached.wait(PATIENCE) == code


def test_input_arrives_byte_for_byte_and_ends(there: There) -> None:
    data = bytes(range(256)) * 4096
    with opened(there, "cat") as attached:
        writer = threading.Thread(target=lambda: (attached.write(data), attached.end_input()))
        writer.start()
        assert read_all(attached)[1] == data
        writer.join()
        assert attached.wait(PATIENCE) == 0


def test_nobody_reading_holds_the_program_up(there: There) -> None:
    code = "import os\nfor n in range(400): os.write(1, bytes(65536)); os.write(2, b'%d ' % n)"
    with opened(there, there.python(code), limits=replace(there.spec("").limits, memory=64 * MEGABYTE)) as attached:
        time.sleep(0.5)
        early = attached.read(PATIENCE)
        with pytest.raises(TimeoutError):
            attached.wait(0)
        found = read_all(attached)
        assert len(found[1]) + len(found[2]) + len(early[1]) == 400 * 65536 + sum(len(f"{n} ") for n in range(400))


def test_input_that_nobody_takes_is_waited_for_and_refused_in_the_end(there: There) -> None:
    with opened(there, "read -r line; echo $line; exec sleep 600") as attached:
        attached.write(b"hello\n")
        read_until(attached, b"hello\n")
        refused = threading.Event()

        def flood() -> None:
            try:
                while True:
                    attached.write(bytes(65536))
            except BrokenPipeError:
                refused.set()

        writer = threading.Thread(target=flood)
        writer.start()
        time.sleep(0.3)
        assert not refused.is_set()
        attached.send(signal.SIGTERM)
        read_all(attached)
        assert attached.wait(PATIENCE) == 143
    writer.join(PATIENCE)
    assert refused.is_set()


def test_terminal_has_its_size_and_kind_and_is_the_sessions(there: There) -> None:
    command = (
        "tty; stty size; echo $TERM >/dev/tty; ps -o tty= 2>/dev/null; test -t 0 && test -t 1 && test -t 2 && echo all"
    )
    with opened(there, command, SCREEN, env={"TERM": SCREEN.kind}) as attached:
        lines = read_all(attached)[1].decode().splitlines()
        assert lines[0].startswith("/dev/pts/") or lines[0] == "/dev/console"
        assert lines[1:3] == ["24 80", "xterm-256color"]
        assert lines[-1] == "all"


def test_new_size_is_told_to_the_program(there: There) -> None:
    code = """
        import os, signal
        signal.signal(signal.SIGWINCH, lambda *_: print("now", *os.get_terminal_size(), flush=True))
        print("up", *os.get_terminal_size(), flush=True)
        while True: signal.pause()
    """
    with opened(there, there.python(textwrap.dedent(code)), SCREEN) as attached:
        read_until(attached, b"up 80 24")
        attached.resize(132, 50)
        read_until(attached, b"now 132 50")


def test_keys_of_a_terminal_become_signals_and_the_end_of_input(there: There) -> None:
    with opened(there, "trap 'echo caught' INT; echo up; read -r line; cat; echo over", SCREEN) as attached:
        read_until(attached, b"up")
        attached.write(b"\x03")
        read_until(attached, b"caught")
        attached.write(b"\n\x10\x11typed\n")  # Ctrl-P Ctrl-Q is no wish to leave
        read_until(attached, b"typed")
        attached.end_input()
        read_until(attached, b"over")


def test_signal_reaches_the_program(there: There) -> None:
    code = "import os, signal as s; s.signal(s.SIGUSR1, lambda *_: os._exit(9)); print('up', flush=True); s.pause()"
    with opened(there, there.python(code)) as attached:
        read_until(attached, b"up")
        attached.send(signal.SIGUSR1)
        read_all(attached)
        assert attached.wait(PATIENCE) == 9
        attached.send(signal.SIGUSR1)
        attached.resize(1, 1)


@pytest.mark.patient
def test_one_that_was_left_gets_a_hangup_and_nothing_stays(there: There) -> None:
    child, stranger = Sleeper(), Sleeper()
    with opened(
        there, f"trap 'exit 3' HUP; {child} & setsid {stranger} & echo up; wait; while :; do sleep 0.1; done"
    ) as attached:
        read_until(attached, b"up")
        until(lambda: child.is_alive and stranger.is_alive)
    assert not child.is_alive
    assert not stranger.is_alive
    if isinstance(there, Host):
        assert attached.wait(0) == 3


@pytest.mark.parametrize("terminal", [None, SCREEN], ids=["pipes", "terminal"])
def test_one_that_will_not_go_is_killed(there: There, terminal: Terminal | None) -> None:
    sleeper = Sleeper()
    with opened(there, f"trap '' HUP TERM INT; {sleeper} & echo up; while :; do sleep 0.1; done", terminal) as attached:
        read_until(attached, b"up")
        until(lambda: sleeper.is_alive)
        began = time.monotonic()
    assert time.monotonic() - began >= 2
    assert not sleeper.is_alive


LETS_GO = """
import fcntl, signal, termios, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGWINCH, lambda *_: print("told", flush=True))
fcntl.ioctl(0, termios.TIOCNOTTY)
print("up", flush=True)
while True: time.sleep(0.1)
"""


def test_a_signal_for_one_that_let_go_of_its_terminal_reaches_it_and_nobody_of_ours(there: There) -> None:
    ours: list[int] = []
    before = signal.signal(signal.SIGWINCH, lambda number, frame: ours.append(number))
    try:
        with opened(there, there.python(LETS_GO), SCREEN) as attached:
            read_until(attached, b"up")
            attached.send(signal.SIGWINCH)
            read_until(attached, b"told")
    finally:
        signal.signal(signal.SIGWINCH, before)
    assert ours == []


def test_what_it_leaves_behind_holds_nobody_up(there: There) -> None:
    sleeper = Sleeper()
    with opened(there, f"setsid {sleeper} & echo up; exit 4") as attached:
        assert read_all(attached)[1] == b"up\n"
        assert attached.wait(PATIENCE) == 4
    assert not sleeper.is_alive


def test_it_is_found_while_it_runs_and_can_be_stopped(there: There) -> None:
    with opened(there, "exec sleep 600") as attached:
        (found,) = there.again().running("demo")
        assert (found.id, found.label, found.one_off, found.state, found.log) == (
            attached.id, "run.12", 34, "running", None,
        )  # fmt: skip
        there.again().stop(found, grace=5)
        read_all(attached)
        assert attached.wait(PATIENCE) in (137, 143)


def test_one_that_cannot_be_started_says_why(there: There) -> None:
    with pytest.raises(RuntimeFailed, match=r"No such file|is gone"), opened(there, "true", artifact=there.gone()):
        pass
    assert there.traces() == []


def test_it_has_the_streams_and_nothing_else_of_ours(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_SECRET", "s3cret")
    code = "import os; print(sorted(os.listdir('/proc/self/fd'))[:-1], 'SERVER_SECRET' in os.environ)"
    for terminal in (None, SCREEN):
        with opened(there, there.python(code), terminal) as attached:
            assert read_all(attached)[1].split(b"\r")[0].strip() == b"['0', '1', '2'] False"


@contextmanager
def entered(
    there: There, instance: Instance, command: str, terminal: Terminal | None = None, **values: object
) -> Iterator[Attached]:
    spec = there.spec(command, **({"number": instance.number, "release": instance.release} | values))
    with there.runtime.enter(instance, spec, terminal) as attached:
        yield attached
    folder = there.config.run / "entered"
    assert not folder.exists() or not list(folder.iterdir())


def test_one_more_program_in_an_instance_is_where_that_is(there: There) -> None:
    instance = there.start("echo mine >/tmp/own; exec sleep 600", env={"KEY": "value"}, listens=True)
    wait_for_file(there, instance, "/tmp/own")
    command = "cat /tmp/own; echo $KEY $PORT $GITPAAS_PROCESS; id -u; pwd; exit 5"
    with entered(there, instance, command, env={"KEY": "value"}) as attached:
        lines = read_all(attached)[1].decode().splitlines()
        assert attached.wait(PATIENCE) == 5
    assert lines[0] == "mine"
    assert lines[1].split()[0::2] == ["value", "web.1"]
    if there.uid:
        assert lines[1].split()[1] == str(instance.address).rpartition(":")[2]
        assert lines[2:] == [str(there.uid), "/app"]
    assert there.now(instance).state == "running"


def wait_for_file(there: There, instance: Instance, path: str) -> None:
    """Its first process has got so far: another one sees it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with entered(there, instance, f"cat {path}") as attached:
            if read_all(attached)[1]:
                return
        assert time.monotonic() < deadline


STATUS = (
    "grep -E '^(Uid|Gid|Groups|CapEff|CapBnd|CapPrm|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status; "
    "cat /proc/self/limits /proc/self/cgroup; ls /proc/self/fd"
)


def test_it_has_no_more_rights_than_the_instance(there: There) -> None:
    instance = there.start(f"({STATUS}) >/tmp/draft-{UID}; mv /tmp/draft-{UID} /tmp/status-{UID}; exec sleep 600")
    wait_for_file(there, instance, f"/tmp/status-{UID}")
    for terminal in (None, SCREEN):
        command = f"({STATUS}) >/tmp/now-{UID}; diff /tmp/now-{UID} /tmp/status-{UID} && echo same; rm /tmp/now-{UID}"
        with entered(there, instance, command, terminal) as attached:
            assert read_all(attached)[1].decode().split() == ["same"]


def test_it_has_a_terminal_of_that_size(there: There) -> None:
    instance = there.start("exec sleep 600")
    command = "trap 'stty size; exit 3' WINCH; stty size; echo up; while :; do sleep 0.05; done"
    with entered(there, instance, command, SCREEN) as attached:
        assert read_until(attached, b"up").split()[:2] == [b"24", b"80"]
        attached.resize(132, 50)
        read_until(attached, b"50 132")
        read_all(attached)
        assert attached.wait(PATIENCE) == 3


@pytest.mark.parametrize("terminal", [None, SCREEN], ids=["pipes", "terminal"])
def test_what_was_started_in_an_instance_ends_with_who_started_it_and_the_instance_goes_on(
    there: There, terminal: Terminal | None
) -> None:
    own, child, stranger = Sleeper(), Sleeper(), Sleeper()
    instance = there.start(f"exec {own}")
    with entered(there, instance, f"{child} & setsid {stranger} & echo up; wait", terminal) as attached:
        read_until(attached, b"up")
        until(lambda: child.is_alive and stranger.is_alive)
    assert not child.is_alive
    assert not stranger.is_alive
    assert own.is_alive
    with entered(there, instance, "kill -9 $$", terminal) as attached:
        read_all(attached)
        assert attached.wait(PATIENCE) == 137
    assert there.now(instance).state == "running"


def test_it_ends_with_the_instance(there: There) -> None:
    instance, child = there.start("exec sleep 600"), Sleeper()
    with entered(there, instance, f"echo up; exec {child}") as attached:
        read_until(attached, b"up")
        until(lambda: child.is_alive)
        there.again().stop(instance, grace=0)
        read_all(attached)
        assert attached.wait(PATIENCE) == 137
    assert not child.is_alive


def test_nobody_enters_what_has_ended(there: There) -> None:
    instance = there.ended(there.start("true"))
    with pytest.raises(RuntimeFailed, match="does not run"), entered(there, instance, "true"):
        pass
    there.runtime.stop(instance, grace=0)
    with pytest.raises(RuntimeFailed, match="does not run"), entered(there, instance, "true"):
        pass


HOLDER = """
import sys, time
sys.path[:0] = {path!r}
from dataclasses import replace
from gitpaas.config import load
from gitpaas.values import *
from gitpaas.output import Terminal
from gitpaas.platform import make_runtime
import {home} as place
with place.{maker}(replace(load({environ!r}), stop_grace=2){uid}) as there:
    spec = there.spec({command!r}, process="run", number=12, one_off=34)
    instance = there.start("exec sleep 600") if {enters} else None
    with there.runtime.enter(instance, spec, {terminal!r}) if {enters} else there.runtime.open(spec, {terminal!r}):
        print("open", flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("enters", [False, True], ids=["open", "enter"])
@pytest.mark.parametrize("terminal", [None, SCREEN], ids=["pipes", "terminal"])
def test_it_ends_when_who_holds_it_is_killed(there: There, terminal: Terminal | None, enters: bool) -> None:
    sleeper, is_docker = Sleeper(), there.__class__.__name__ == "Docker"
    script = HOLDER.format(
        path=sys.path,
        home="containers" if is_docker else "instances",
        maker="docker" if is_docker else "host",
        environ=dict(there.config.environ),
        uid="" if is_docker else f", {there.uid}",
        command=f"{sleeper}",
        terminal=terminal,
        enters=enters,
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    until(lambda: sleeper.is_alive)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with there.again().attend():
        until(lambda: there.again().running() is not None and not sleeper.is_alive)
        for instance in (instance for instance in there.again().running() if instance.one_off is None):
            assert enters
            assert instance.state == "running"
            there.again().stop(instance, grace=0)
        until(lambda: there.traces() == [], told=there.traces)
