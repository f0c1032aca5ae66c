"""Reading: the last lines, and what comes, across rotation and until the reader has gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitpaas.config import Config
from gitpaas.logs import app_log, follow, parse, tail
from gitpaas.logs.lines import Line, compose


@pytest.fixture
def folder(config: Config) -> Path:
    config.logs("hello").mkdir(parents=True)
    return config.logs("hello")


def say(folder: Path, *texts: str, source: str = "web.1") -> None:
    app_log.append(folder, b"".join(compose(1.0, source, 12, text.encode()) for text in texts))


def texts(lines: list[str]) -> list[str]:
    return [parse(line).text for line in lines]


class Follower:
    """Somebody with `logs -t` on the screen."""

    def __init__(self, config: Config, process: str | None = None, lines: int = 0) -> None:
        self.seen: list[str] = []
        self.asked, self.follows = 0, threading.Event()
        self.gone = threading.Event()
        self.thread = threading.Thread(target=self._watch, args=(config, process, lines))
        self.thread.start()
        assert self.follows.wait(60)

    def _watch(self, config: Config, process: str | None, lines: int) -> None:
        for line in follow(config, "hello", process, self._is_gone, lines):
            self.seen.append(parse(line).text)

    def _is_gone(self) -> bool:
        self.asked += 1
        if self.asked > 1:  # it knows by now where the log ended, and has seen that the app is there
            self.follows.set()
        return self.gone.is_set()

    def await_lines(self, count: int) -> list[str]:
        deadline = time.monotonic() + 60
        while len(self.seen) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.seen

    def leave(self) -> bool:
        """Whether following has ended."""
        self.gone.set()
        self.thread.join(60)
        return not self.thread.is_alive()


@pytest.fixture
def follower(config: Config, folder: Path) -> Iterator[Follower]:
    follower = Follower(config)
    yield follower
    follower.leave()


def test_a_line_comes_apart_as_it_was_made() -> None:
    line = compose(1_700_000_000.5, "web.1", 12, b" two  spaces ").decode().rstrip("\n")

    assert parse(line) == Line("2023-11-14T22:13:20.500000Z", "web.1", 12, " two  spaces ")
    assert parse("2023-11-14T22:13:20.500000Z gitpaas - hello").release is None
    assert parse("") == Line("", "", None, "")


def test_the_last_lines(config: Config, folder: Path) -> None:
    say(folder, *map(str, range(500)))

    assert texts(tail(config, "hello", 3)) == ["497", "498", "499"]
    assert texts(tail(config, "hello", 0)) == []
    assert len(tail(config, "hello", 1000)) == 500


def test_the_last_lines_of_one_process(config: Config, folder: Path) -> None:
    for count in range(300):
        say(folder, f"w{count}", "x" * 900)
        say(folder, f"j{count}", source="worker.1")
    say(folder, "other", source="worker.2")

    assert texts(tail(config, "hello", 2, "worker")) == ["j299", "other"]
    assert texts(tail(config, "hello", 2, "worker.1")) == ["j298", "j299"]


def test_the_last_lines_reach_back_into_older_parts(config: Config, folder: Path) -> None:
    for part in range(6):
        say(folder, f"{part}a", f"{part}b")
        app_log.rotate(folder, 4)

    assert texts(tail(config, "hello", 3)) == ["4b", "5a", "5b"]
    assert texts(tail(config, "hello", 100)) == ["3a", "3b", "4a", "4b", "5a", "5b"]


def test_a_line_still_being_written_is_not_shown(config: Config, folder: Path) -> None:
    say(folder, "whole")
    app_log.append(folder, b"2026-01-01T00:00:00.000000Z web.1 v1 ha")

    assert texts(tail(config, "hello", 5)) == ["whole"]


def test_long_lines_across_blocks(config: Config, folder: Path) -> None:
    lines = [str(count) + "x" * 15_000 for count in range(30)]
    say(folder, *lines)

    assert texts(tail(config, "hello", 30)) == lines


def test_an_app_without_a_log(config: Config) -> None:
    assert tail(config, "nothing", 10) == []


def test_new_lines_come(follower: Follower, folder: Path) -> None:
    say(folder, "one")

    assert follower.await_lines(1) == ["one"]


def test_following_begins_with_the_last_lines(config: Config, folder: Path) -> None:
    say(folder, *map(str, range(10)))
    follower = Follower(config, lines=2)
    say(folder, "new")

    assert follower.await_lines(3) == ["8", "9", "new"]
    follower.leave()


def test_following_one_process(config: Config, folder: Path) -> None:
    follower = Follower(config, "worker")
    say(folder, "no")
    say(folder, "yes", source="worker.1")

    assert follower.await_lines(1) == ["yes"]
    follower.leave()


def test_following_survives_rotation(follower: Follower, folder: Path) -> None:
    for count in range(60):
        say(folder, str(count))
        if count % 7 == 0:
            app_log.rotate(folder, 4)
        time.sleep(0.01)

    assert follower.await_lines(60) == [str(count) for count in range(60)]


def test_following_catches_up_over_two_rotations_at_once(follower: Follower, folder: Path) -> None:
    say(folder, "first")
    follower.await_lines(1)
    for text in ("second", "third"):
        app_log.rotate(folder, 4)
        say(folder, text)

    assert follower.await_lines(3) == ["first", "second", "third"]


def test_a_line_written_in_two_halves_is_shown_once_and_whole(follower: Follower, folder: Path) -> None:
    line = compose(1.0, "web.1", 1, b"whole")
    app_log.append(folder, line[:30])
    time.sleep(0.15)
    assert follower.seen == []
    app_log.append(folder, line[30:])

    assert follower.await_lines(1) == ["whole"]


def test_following_begins_before_there_is_a_log(config: Config) -> None:
    follower = Follower(config)
    config.logs("hello").mkdir(parents=True)
    say(config.logs("hello"), "one")

    assert follower.await_lines(1) == ["one"]
    follower.leave()


def test_following_ends_within_half_a_second_of_the_readers_leaving(follower: Follower) -> None:
    assert follower.leave()


def test_following_ends_with_the_app(follower: Follower, folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    follower.thread.join(60)

    assert not follower.thread.is_alive()
