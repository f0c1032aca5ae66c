"""The output of containers arrives in the instances' files: each line once, whoever is killed meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Docker, docker
from instances import output, until

from gitpaas.config import Config
from gitpaas.engine.execs import execute
from gitpaas.runtimes.docker import copies
from gitpaas.values import Instance

pytestmark = pytest.mark.needs("docker")

COUNT = "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo line $i; done"


@pytest.fixture
def there(config: Config) -> Iterator[Docker]:
    """Nobody copies, unless the test does."""
    with docker(config, attends=False) as made:
        yield made


def lines(instance: Instance) -> list[str]:
    assert instance.log is not None
    return instance.log.read_text().splitlines() if instance.log.exists() else []


def await_lines(instance: Instance, count: int, timeout: float = 200) -> None:
    """Until so many are there, each of them whole."""
    assert instance.log is not None
    until(lambda: len(lines(instance)) >= count and instance.log.read_bytes().endswith(b"\n"), timeout)


def numbered(last: int) -> list[str]:
    return [f"line {n}" for n in range(1, last + 1)]


def test_what_was_written_while_no_server_ran_arrives_later(there: Docker) -> None:
    instance = there.start(f"{COUNT.format(n=1000)}; sleep 60")
    time.sleep(1)
    assert lines(instance) == []
    with there.again().attend():
        await_lines(instance, 1000)
    assert lines(instance) == numbered(1000)


def test_its_time_is_when_it_was_written(there: Docker) -> None:
    instance = there.start("echo now; sleep 60")
    until(lambda: there.runtime.output(instance, 1) == ("now",))
    written = time.time()
    time.sleep(2)
    with there.again().attend():
        output(instance, "now")
    assert instance.log is not None
    assert instance.started_at - 1 <= instance.log.stat().st_mtime <= written


def test_a_server_that_ends_and_comes_back_goes_on_where_it_was(there: Docker) -> None:
    instance = there.start("i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo line $i; sleep 0.005; done; sleep 60")
    for _ in range(5):
        with there.again().attend():
            time.sleep(0.7)
    with there.again().attend():
        await_lines(instance, 600)
        time.sleep(0.3)
    assert lines(instance) == numbered(600)


def test_a_server_that_is_killed_in_the_middle_neither_loses_nor_doubles_a_line(there: Docker) -> None:
    instance = there.start(f"{COUNT.format(n=60000)}; sleep 60")
    for _ in range(4):
        server = attending(there.config)
        before = len(lines(instance))
        await_lines(instance, min(before + 1, 60000))
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    with there.again().attend():
        await_lines(instance, 60000)
        time.sleep(0.3)
    assert lines(instance) == numbered(60000)


def attending(config: Config) -> subprocess.Popen[bytes]:
    script = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from gitpaas.config import load
from gitpaas.runtimes.docker import DockerRuntime
with DockerRuntime(load({{"GITPAAS_HOME": {str(config.home)!r}}})).attend():
    time.sleep(600)
"""
    return subprocess.Popen([sys.executable, "-c", script])


def test_bytes_that_were_written_without_a_mark_are_passed_over(there: Docker) -> None:
    """As if the one who copied had been killed between the two writes, in the middle of a line even."""
    until_told = "while [ ! -e /tmp/go ]; do sleep 0.05; done"
    instance = there.start(f"{COUNT.format(n=50)}; {until_told}; {COUNT.format(n=50)}; sleep 60")
    assert instance.log is not None
    with there.again().attend():
        until(lambda: len(lines(instance)) == 50)
    mark = copies.folder(there.config) / instance.id
    marked = mark.read_bytes()
    execute(there.engine, f"gitpaas-{instance.id}", ["touch", "/tmp/go"], timeout=60)
    with there.again().attend():
        until(lambda: len(lines(instance)) == 100)
    mark.write_bytes(marked)
    whole = instance.log.read_bytes()
    for size in (len(whole), len(whole) - 3, len(whole) - 100):
        os.truncate(instance.log, size)
        mark.write_bytes(marked)
        with there.again().attend():
            until(lambda: instance.log.read_bytes() == whole)
            time.sleep(0.3)
        assert instance.log.read_bytes() == whole


def test_lines_that_are_longer_than_the_engine_likes_stay_whole(there: Docker) -> None:
    code = "import sys; sys.stdout.write('x' * 100_000 + chr(10) + 'end' + chr(10))"
    instance = there.start(f"{there.python(code)[5:]}; sleep 60")
    with there.again().attend():
        output(instance, "end")
    with there.again().attend():
        time.sleep(0.5)
    assert [len(line) for line in lines(instance)] == [100_000, 3]


def test_what_a_crashed_one_said_last_is_copied_before_it_is_removed(there: Docker) -> None:
    instance = there.ended(there.start("echo out of luck; printf half; exit 1"))
    # Half a line reaches the engine's own log a moment after the end, on a busy machine.
    until(lambda: b"half" in there.engine.api.logs(f"gitpaas-{instance.id}"))
    assert lines(instance) == []
    until(lambda: there.runtime.output(instance, 2) == ("out of luck", "half"))  # the engine may take a moment
    there.runtime.stop(instance, grace=0)
    assert lines(instance) == ["out of luck", "half"]


def test_while_a_server_copies_another_process_may_stop(there: Docker) -> None:
    with there.again().attend():
        instance = there.start("trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.05; done")
        output(instance, "up")
        there.runtime.stop(instance, grace=60)
        assert lines(instance) == ["up", "bye"]
        time.sleep(0.5)
    assert there.traces() == []


def test_more_than_the_engine_keeps_is_copied_as_far_as_it_is_there(there: Docker) -> None:
    """A flood: the app is never held up; what the engine has thrown away is lost, and everything else is in order."""
    code = "import sys\nfor i in range(500_000): sys.stdout.write(f'line {i} of a flood that nobody reads\\n')"
    with there.again().attend():
        instance = there.start(f"{there.python(code)[5:]}; echo last; sleep 60")
        output(instance, "last\n", timeout=200)
    assert [
        line for line in lines(instance) if not re.fullmatch(r"line \d+ of a flood that nobody reads|last", line)
    ] == []
    numbers = [int(line.split()[1]) for line in lines(instance)[:-1]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 1000


def test_a_disk_that_is_full_holds_up_neither_the_app_nor_its_end(
    there: Docker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, full = os.write, [True]

    def refuse(fd: int, data: bytes) -> int:
        if full[0] and Path(f"/proc/self/fd/{fd}").readlink().suffix == ".log":
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)
    with there.again().attend():
        instance = there.start("echo one; sleep 60")
        until(lambda: "is not copied for now" in caplog.text)
        full[0] = False
        output(instance, "one\n")
    full[0] = True
    second = there.ended(there.start("echo lost; exit 1", number=2))
    there.runtime.stop(second, grace=0)
    assert "the last output" in caplog.text
