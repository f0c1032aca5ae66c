"""Apps that write faster than anybody reads: their raw files stay small, and what is left out is told to the byte."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from instances import flood_watchers, until

from gitpaas.config import Config
from gitpaas.logs import Collector, ledger
from gitpaas.logs.floods import Floods
from gitpaas.values import Instance, Survey

MEGABYTE = 1024 * 1024
BUDGET = 4 * MEGABYTE
LINE = b"z" * 1023 + b"\n"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs files with holes: Linux")


@pytest.fixture
def web(config: Config) -> Instance:
    log = config.logs("hello") / "raw" / "hello.v12.web.1.0f3a9c2e.log"
    log.parent.mkdir(parents=True)
    log.touch()
    return Instance(log.stem, "hello", 12, "web", 1, "running", None, time.time(), log=log)


@pytest.fixture
def path(web: Instance) -> Path:
    assert web.log
    return web.log


@pytest.fixture
def collector(config: Config, web: Instance) -> Collector:
    return Collector(replace(config, log_size=BUDGET), lambda: Survey((web,)))


def say(path: Path, megabytes: int) -> None:
    with path.open("ab") as file:
        for _ in range(megabytes):
            file.write(LINE * 1024)


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_what_nobody_will_read_is_given_back_and_the_end_stays(path: Path) -> None:
    floods = Floods(BUDGET)
    floods.watch([path])
    for size in (20, 40):
        say(path, 20)
        until(lambda: on_disk(path) <= BUDGET + MEGABYTE)
        assert path.stat().st_size == size * MEGABYTE
        assert path.read_bytes()[-BUDGET:] == LINE * 4096
    floods.watch([])
    until(lambda: not flood_watchers())  # the last look is over
    say(path, 20)
    assert on_disk(path) >= 20 * MEGABYTE


def test_nothing_is_given_back_while_somebody_reads(path: Path) -> None:
    floods = Floods(BUDGET)
    floods.watch([path])
    with floods.reading:
        say(path, 20)
        time.sleep(0.1)
        assert on_disk(path) >= 20 * MEGABYTE
    until(lambda: on_disk(path) <= BUDGET + MEGABYTE)
    floods.watch([])


def test_who_collects_may_go_in_the_middle_of_a_flood(path: Path) -> None:
    floods = Floods(BUDGET)
    floods.watch([path])
    until(flood_watchers)
    del floods
    until(lambda: not flood_watchers())


def test_file_that_goes_is_no_trouble(path: Path) -> None:
    floods = Floods(BUDGET)
    floods.watch([path])
    path.unlink()
    until(lambda: floods._watched() == [])


def test_a_flood_is_cut_between_two_looks_of_the_collector(collector: Collector, path: Path) -> None:
    say(path, 10)
    collector.collect_once()
    say(path, 60)
    until(lambda: on_disk(path) <= BUDGET + MEGABYTE)
    while collector.collect_once():
        pass
    assert path.read_bytes()[-len(LINE) :] == LINE, "the last words of a crash"


def test_all_is_collected_or_left_out_in_words_while_it_comes(
    collector: Collector, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    append = ledger.app_log.append
    monkeypatch.setattr(ledger.app_log, "append", lambda folder, data: (append(folder, data), written.append(data)))
    with path.open("ab") as file, subprocess.Popen(["seq", "10000000", "40000000"], stdout=file) as flood:
        while flood.poll() is None:
            collector.collect_once()
    while collector.collect_once():
        pass

    texts = [line.split(b" ", 3)[3] for data in written for line in data.splitlines()]
    left_out = [int(text.split()[1]) for text in texts if b"left out" in text]
    numbers = [text for text in texts if b"left out" not in text]
    assert left_out
    assert [text for text in numbers if not re.fullmatch(rb"\d{0,8}", text)] == []
    assert sum(left_out) + sum(len(text) + 1 for text in numbers) == path.stat().st_size
    assert numbers[-1] == b"40000000"
