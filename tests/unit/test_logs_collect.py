"""Collecting: from files that instances append to, into one bounded log, through kills and full disks."""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gitpaas import rawfiles
from gitpaas.config import Config
from gitpaas.logs import Collector, Selection, app_log, collect, ledger, platform_line, remove, tail
from gitpaas.logs.cutting import cut
from gitpaas.values import Instance, Survey

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


class Machine:
    """Instances that append to their raw files, and the collector that runs beside them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.instances: list[Instance] = []
        self.restart()

    def restart(self) -> None:
        """A new server process: nothing is remembered but what is on the disk."""
        self.collector = Collector(self.config, lambda: Survey(tuple(self.instances)))

    def start(self, process: str = "web", number: int = 1, app: str = "hello") -> Instance:
        log = self.config.logs(app) / "raw" / f"{app}-{process}-{number}-{len(self.instances)}.log"
        os.close(rawfiles.open_to_append(log))
        instance = Instance(log.stem, app, 12, process, number, "running", None, time.time(), log=log)
        self.instances.append(instance)
        return instance

    def say(self, instance: Instance, data: bytes) -> None:
        assert instance.log
        with instance.log.open("ab") as file:
            file.write(data)

    def rest(self, instance: Instance, seconds: float = 2) -> None:
        """Let this much time pass since the instance's last output."""
        assert instance.log
        then = time.time() - seconds
        os.utime(instance.log, (then, then))

    def texts(self, app: str = "hello") -> list[str]:
        self.collector.collect_once()
        return [line.split(" ", 1)[1] for line in tail(self.config, app, 1000)]


@pytest.fixture
def machine(config: Config) -> Machine:
    return Machine(config)


def test_a_line_says_when_who_and_which_release(machine: Machine) -> None:
    machine.say(machine.start(), b"hello world\n")

    assert machine.collector.collect_once() == 1
    (line,) = tail(machine.config, "hello", 10)
    assert re.fullmatch(STAMP + " web.1 v12 hello world", line)
    assert app_log.path(machine.config.logs("hello")).stat().st_mode & 0o777 == 0o600


def test_nothing_new_writes_nothing(machine: Machine) -> None:
    web = machine.start()
    machine.say(web, b"one\n")
    machine.collector.collect_once()
    before = sorted((path, path.stat().st_mtime_ns) for path in machine.config.logs("hello").rglob("*"))

    assert machine.collector.collect_once() == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in machine.config.logs("hello").rglob("*")) == before


def test_no_logs_at_all(machine: Machine) -> None:
    assert machine.collector.collect_once() == 0
    assert not list(tail(machine.config, "hello", 10))


def test_half_a_line_waits_for_its_end(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "_HALF_LINE", 1000)  # whatever this machine does meanwhile
    web = machine.start()
    machine.say(web, b"one\ntw")
    assert machine.texts() == ["web.1 v12 one"]
    machine.say(web, b"o\n")
    assert machine.texts() == ["web.1 v12 one", "web.1 v12 two"]


def test_half_a_line_waits_no_longer_than_it_may(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "_HALF_LINE", 1000)
    web = machine.start()
    machine.say(web, b"Password: ")
    assert machine.texts() == []
    machine.rest(web, 1001)
    assert machine.texts() == ["web.1 v12 Password: "]


def test_rubbish_becomes_text(machine: Machine) -> None:
    machine.say(machine.start(), b"caf\xc3\xa9 \xff\xfe a\0b\r\n\x1b[31mred\x1b[0m \xe2\x80\xa8 \x0b end\n\n")

    assert machine.texts() == [
        "web.1 v12 café \ufffd\ufffd a\ufffdb", "web.1 v12 \x1b[31mred\x1b[0m \u2028 \x0b end", "web.1 v12 ",
    ]  # fmt: skip


def test_overlong_lines_are_split_between_characters(machine: Machine) -> None:
    machine.say(machine.start(), b"a" + "é".encode() * 10_000 + b"\n")

    first, second = (text.removeprefix("web.1 v12 ") for text in machine.texts())
    assert first + second == "a" + "é" * 10_000
    assert len(first.encode()) <= 16 * 1024


def test_an_endless_line_does_not_fill_the_memory(machine: Machine) -> None:
    machine.say(machine.start(), b"x" * 3_000_000)

    assert {len(text) for text in machine.texts()} == {16 * 1024 + len("web.1 v12 ")}


def test_cutting_is_the_same_however_the_bytes_arrive() -> None:
    data = b"".join(random.randbytes(random.randrange(40)) + b"\n" for _ in range(200))
    lines, used = cut(data, take_rest=True)

    pieces: list[bytes] = []
    waiting = b""
    for start in range(0, len(data), 7):
        waiting += data[start : start + 7]
        new, taken = cut(waiting, take_rest=False)
        pieces, waiting = pieces + new, waiting[taken:]
    assert (pieces, waiting, used) == (lines, b"", len(data))


def test_instances_and_the_platform_in_one_log(machine: Machine) -> None:
    web, worker = machine.start(), machine.start("worker", 2)
    machine.say(web, b"from web\n")
    machine.rest(web)
    machine.say(worker, b"from worker\n")
    platform_line(machine.config, "hello", "web.1 exited with 1, restarting in 2 s\nsecond line")

    assert sorted(machine.texts()) == [
        "gitpaas - second line",
        "gitpaas - web.1 exited with 1, restarting in 2 s",
        "web.1 v12 from web",
        "worker.2 v12 from worker",
    ]
    assert machine.texts()[0] == "web.1 v12 from web"
    of_kind, of_one, of_none = (
        list(tail(machine.config, "hello", 10, Selection(process))) for process in ("worker", "worker.2", "work")
    )
    assert of_kind == of_one != of_none == []


def test_the_log_of_a_stopped_instance_is_drained_and_removed(machine: Machine) -> None:
    web = machine.start()
    machine.say(web, b"one\n")
    machine.collector.collect_once()
    machine.say(web, b"two\nlast words")
    machine.instances.clear()
    machine.restart()

    assert machine.texts() == ["web.1 v12 one", "web.1 v12 two", "web.1 v12 last words"]
    assert web.log
    assert not web.log.exists()
    assert machine.texts() == ["web.1 v12 one", "web.1 v12 two", "web.1 v12 last words"]


def test_one_that_nobody_ever_saw_running_is_not_lost(machine: Machine) -> None:
    web = machine.start()
    machine.say(web, b"short life\n")
    machine.instances.clear()

    assert machine.texts() == ["unknown - short life"]


def test_a_restart_repeats_nothing_and_loses_nothing(machine: Machine) -> None:
    web = machine.start()
    for count in range(20):
        machine.say(web, f"line {count}\n".encode())
        machine.restart()
        machine.collector.collect_once()

    assert machine.texts() == [f"web.1 v12 line {count}" for count in range(20)]


class Killed(BaseException):
    pass


def _killed(*_: object) -> None:
    raise Killed


def _killed_half_way(folder: Path, data: bytes) -> None:
    if data:
        with app_log.path(folder).open("ab") as file:
            file.write(data[: len(data) // 2])
        raise Killed
    app_log.path(folder).touch()


@pytest.mark.parametrize("append", [_killed, _killed_half_way])
def test_a_kill_while_writing_repeats_nothing_and_loses_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, append: Callable[[Path, bytes], None]
) -> None:
    web = machine.start()
    machine.say(web, b"one\n")
    machine.collector.collect_once()
    machine.say(web, b"two\nthree\n")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(ledger.app_log, "append", append)
        machine.collector.collect_once()
    machine.restart()

    assert machine.texts() == ["web.1 v12 one", "web.1 v12 two", "web.1 v12 three"]


def test_a_kill_right_after_writing_and_rotating_repeats_nothing(config: Config) -> None:
    machine = Machine(replace(config, log_size=400))
    web = machine.start()
    machine.say(web, b"x" * 150 + b"\n")
    machine.collector.collect_once()
    folder = config.logs("hello")
    app_log.rotate(folder, 400)
    machine.restart()

    assert len(machine.texts()) == 1


def test_a_full_disk_delays_lines_and_loses_none(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    web, other = machine.start(), machine.start(app="other")
    machine.say(web, b"one\n")
    machine.say(other, b"fine\n")

    def full(folder: Path, data: bytes) -> None:
        if folder.name == "hello":
            raise OSError(28, "No space left on device")
        real(folder, data)

    real = app_log.append
    with monkeypatch.context() as patched:
        patched.setattr(ledger.app_log, "append", full)
        assert machine.collector.collect_once() == 1
    assert machine.texts("other") == ["web.1 v12 fine"]
    assert machine.texts() == ["web.1 v12 one"]


def test_the_log_stays_within_its_budget_and_keeps_the_newest(config: Config) -> None:
    machine = Machine(replace(config, log_size=40_000))
    web = machine.start()
    for count in range(400):
        machine.say(web, f"{count:04} {'x' * 500}\n".encode())
        if count % 5 == 4:
            machine.collector.collect_once()

    size = sum(path.stat().st_size for path in config.logs("hello").glob("app.log*"))
    assert 20_000 < size < 50_000
    counts = [int(text.split()[2]) for text in machine.texts()]
    assert counts == list(range(counts[0], 400))
    assert len(counts) > 40


def test_raw_files_give_their_disk_back(machine: Machine) -> None:
    web = machine.start()
    assert web.log
    for _ in range(6):
        machine.say(web, (b"y" * 1023 + b"\n") * 1024)
        machine.collector.collect_once()

    assert web.log.stat().st_size == 6 * 1024 * 1024
    assert web.log.stat().st_blocks * 512 < 2 * 1024 * 1024
    assert web.log.read_bytes()[-1024:] == b"y" * 1023 + b"\n", "the last words stay readable"
    machine.say(web, b"still here\n")
    assert machine.texts()[-1] == "web.1 v12 still here"


def test_without_holes_raw_files_are_emptied(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.logs.holes._punch", lambda *_: False)
    web = machine.start()
    assert web.log
    machine.say(web, (b"y" * 1023 + b"\n") * 2048)
    machine.collector.collect_once()
    machine.say(web, b"still here\n")

    assert web.log.stat().st_size == len(b"still here\n")
    assert machine.texts()[-1] == "web.1 v12 still here"


def test_output_that_comes_faster_than_it_is_read_is_left_out_in_words(config: Config) -> None:
    machine = Machine(replace(config, log_size=10_000))
    machine.say(machine.start(), b"z" * 99 + b"\n" + (b"y" * 99 + b"\n") * 1000)

    first = next(text for text in machine.texts() if "left out" in text)
    assert first == "web.1 v12 ... 90100 bytes of output left out ..."


def test_short_lines_without_end_are_taken_in_bearable_pieces(config: Config) -> None:
    machine = Machine(config)
    machine.say(machine.start(), b"y\n" * 300_000)

    rounds = [machine.collector.collect_once()]
    while sum(rounds) < 300_000 and rounds[-1]:
        rounds.append(machine.collector.collect_once())

    assert sum(rounds) == 300_000
    assert max(rounds) < 200_000


def test_an_app_that_was_destroyed_and_made_again_starts_afresh(machine: Machine) -> None:
    platform_line(machine.config, "hello", "a long enough line of the first life")
    machine.collector.collect_once()
    remove(machine.config, "hello")
    platform_line(machine.config, "hello", "second life")

    assert machine.texts() == ["gitpaas - second life"]


def test_files_that_are_no_logs_of_ours_do_no_harm(machine: Machine) -> None:
    (machine.config.all_logs).mkdir(parents=True)
    (machine.config.all_logs / "stray.txt").write_text("x")
    (machine.config.all_logs / "empty").mkdir()
    machine.say(machine.start(), b"one\n")

    assert machine.texts() == ["web.1 v12 one"]


def test_a_ledger_that_is_rubbish_is_begun_anew(machine: Machine) -> None:
    machine.say(machine.start(), b"one\n")
    machine.config.logs("hello").joinpath("collected.json").write_text("{")

    assert machine.texts() == ["web.1 v12 one"]


def test_removing_is_not_undone_by_the_collector(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.say(machine.start(), b"one\n")
    real = shutil.rmtree

    def slowly(path: Path, **given: bool) -> None:
        machine.collector.collect_once()
        real(path, **given)

    monkeypatch.setattr(shutil, "rmtree", slowly)
    remove(machine.config, "hello")
    remove(machine.config, "never-was")
    machine.collector.collect_once()
    assert list((machine.config.all_logs).iterdir()) == []


def test_a_directory_that_was_empty_for_long_is_read_again_once_something_is_in_it(machine: Machine) -> None:
    # given an app without instances, whose directory nobody has touched for a while
    folder = machine.config.logs("hello") / "raw"
    folder.mkdir(parents=True)
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))
    for _ in range(3):
        assert machine.collector.collect_once() == 0

    # when one starts after all
    machine.say(machine.start(), b"here I am\n")

    # then it is heard
    assert machine.texts() == ["web.1 v12 here I am"]


@pytest.fixture
def asked(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The apps whose directories the collector asks from here on: `hello`, which runs, and others that long do not."""
    monkeypatch.setattr(collect, "_QUIET_REST", 1000)
    machine.say(machine.start(), b"one\n")
    for number in range(20):
        (machine.config.logs(f"app-{number}") / "raw").mkdir(parents=True)
    long_ago = time.time() - 3600
    for folder in (machine.config.all_logs).glob("app-*/raw"):
        os.utime(folder, (long_ago, long_ago))
    os.utime(machine.config.all_logs, (long_ago, long_ago))
    machine.collector.collect_once()
    found: list[str] = []
    stat = os.stat

    def watched(path: object, **given: object) -> os.stat_result:
        if str(path).endswith("/raw"):
            found.append(str(path).split("/")[-2])
        return stat(path, **given)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "stat", watched)
    return found


def test_directories_in_which_nothing_was_are_not_asked_in_each_round(machine: Machine, asked: list[str]) -> None:
    for _ in range(3):
        machine.collector.collect_once()
    assert asked == ["hello"] * 3


def test_they_are_asked_at_once_when_somebody_begins_to_write(machine: Machine, asked: list[str]) -> None:
    machine.say(machine.start(app="app-7"), b"here I am\n")
    assert machine.texts("app-7") == ["web.1 v12 here I am"]
    platform_line(machine.config, "app-8", "so are we")
    assert machine.texts("app-8") == ["gitpaas - so are we"]


def test_they_are_asked_before_long_when_a_writer_has_not_said_so(
    machine: Machine, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.config.logs("app-7") / "raw" / "odd.log").write_bytes(b"psst\n")
    assert machine.texts("app-7") == []
    monkeypatch.setattr(collect, "_QUIET_REST", 0)
    assert machine.texts("app-7") == ["unknown - psst"]


def test_nothing_is_remembered_of_apps_that_are_gone(machine: Machine) -> None:
    for app in ("here", "gone"):
        machine.say(machine.start(app=app), b"one\n")
    machine.collector.collect_once()
    remove(machine.config, "gone")
    machine.collector.collect_once()
    collector = machine.collector
    assert [sorted(known) for known in (collector._ledgers, collector._folders)] == [["here"], ["here"]]
