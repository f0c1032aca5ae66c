"""Reading: the last lines, and what comes, across rotation and until the reader has gone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from gitpaas.config import Config
from gitpaas.errors import UsageError
from gitpaas.logs import Selection, app_log, follow, parse, tail
from gitpaas.logs.lines import Line, compose

EVERY = Selection()


@pytest.fixture
def folder(config: Config) -> Path:
    config.logs("hello").mkdir(parents=True)
    return config.logs("hello")


def say(folder: Path, *texts: str, source: str = "web.1", release: int | None = 12, at: float = 1.0) -> None:
    app_log.append(folder, b"".join(compose(at, source, release, text.encode()) for text in texts))


def texts(lines: Iterable[str]) -> list[str]:
    return [parse(line).text for line in lines]


class Follower:
    """Somebody with `logs -t` on the screen."""

    def __init__(self, config: Config, wanted: Selection = EVERY, lines: int | None = 0) -> None:
        self.seen: list[str] = []
        self.asked, self.follows = 0, threading.Event()
        self.gone = threading.Event()
        self.thread = threading.Thread(target=self._watch, args=(config, wanted, lines))
        self.thread.start()
        assert self.follows.wait(60)

    def _watch(self, config: Config, wanted: Selection, lines: int | None) -> None:
        for line in follow(config, "hello", self._is_gone, lines, wanted):
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
    assert len(list(tail(config, "hello", 1000))) == 500


def test_the_last_lines_of_one_process(config: Config, folder: Path) -> None:
    for count in range(300):
        say(folder, f"w{count}", "x" * 900)
        say(folder, f"j{count}", source="worker.1")
    say(folder, "other", source="worker.2")

    assert texts(tail(config, "hello", 2, Selection("worker"))) == ["j299", "other"]
    assert texts(tail(config, "hello", 2, Selection("worker.1"))) == ["j298", "j299"]


def test_the_last_lines_reach_back_into_older_parts(config: Config, folder: Path) -> None:
    for part in range(6):
        say(folder, f"{part}a", f"{part}b")
        app_log.rotate(folder, 4)

    assert texts(tail(config, "hello", 3)) == ["4b", "5a", "5b"]
    assert texts(tail(config, "hello", 100)) == ["3a", "3b", "4a", "4b", "5a", "5b"]
    assert texts(tail(config, "hello", None)) == ["3a", "3b", "4a", "4b", "5a", "5b"]


def test_parts_that_are_rotated_while_they_are_read_come_once_each(config: Config, folder: Path) -> None:
    for part in range(4):
        say(folder, f"{part}a", f"{part}b")
        app_log.rotate(folder, 4)
    lines = tail(config, "hello", None)
    seen = texts([next(lines)])
    say(folder, "later")
    app_log.rotate(folder, 4)

    assert seen + texts(lines) == ["1a", "1b", "2a", "2b", "3a", "3b"]


def test_a_line_still_being_written_is_not_shown(config: Config, folder: Path) -> None:
    say(folder, "whole")
    app_log.append(folder, b"2026-01-01T00:00:00.000000Z web.1 v1 ha")

    assert texts(tail(config, "hello", 5)) == texts(tail(config, "hello", None)) == ["whole"]


def test_long_lines_across_blocks(config: Config, folder: Path) -> None:
    lines = [str(count) + "x" * 15_000 for count in range(30)]
    say(folder, *lines)

    assert texts(tail(config, "hello", 30)) == texts(tail(config, "hello", None)) == lines


def test_an_app_without_a_log(config: Config) -> None:
    assert not list(tail(config, "nothing", 10))
    assert not list(tail(config, "nothing", None))


@pytest.fixture
def mixed(config: Config, folder: Path) -> Config:
    """A minute between two lines."""
    say(folder, "GET /old", release=11, at=0.0)
    say(folder, "GET / 200", at=60.0)
    say(folder, "\033[31mERROR\033[0m: lost", at=120.0)
    say(folder, "tick: error", source="worker.1", at=180.0)
    say(folder, "web.1 exited with 1", source="gitpaas", release=None, at=240.0)
    return config


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Selection(), ["GET /old", "GET / 200", "\033[31mERROR\033[0m: lost", "tick: error", "web.1 exited with 1"]),
        (Selection(since=120.0), ["\033[31mERROR\033[0m: lost", "tick: error", "web.1 exited with 1"]),
        (Selection(since=-5.0, until=60.0), ["GET /old", "GET / 200"]),
        (Selection(until=59.9), ["GET /old"]),
        (Selection(release=11), ["GET /old"]),
        (Selection(release=1), []),
        (Selection(pattern="error"), ["\033[31mERROR\033[0m: lost", "tick: error"]),
        (Selection(pattern="ERROR"), ["\033[31mERROR\033[0m: lost"]),
        (Selection(pattern="^ERROR: "), ["\033[31mERROR\033[0m: lost"]),
        (Selection("web", pattern="200$|lost"), ["GET / 200", "\033[31mERROR\033[0m: lost"]),
        (Selection("worker", 12, 170.0, 190.0, "e.*r"), ["tick: error"]),
        (Selection("web", 12, 170.0, 190.0, "e.*r"), []),
        (Selection(pattern="-v"), []),
        (Selection(pattern="web.1 v12"), []),
    ],
)
def test_all_conditions_hold_for_what_is_wanted(mixed: Config, wanted: Selection, found: list[str]) -> None:
    assert texts(tail(mixed, "hello", None, wanted)) == found
    assert texts(tail(mixed, "hello", 2, wanted)) == found[-2:]


def test_among_more_lines_than_are_looked_at_together(config: Config, folder: Path) -> None:
    say(folder, *(f"line {number}" for number in range(12_345)))

    assert len(list(tail(config, "hello", None))) == 12_345
    assert texts(tail(config, "hello", None, Selection(pattern="[^0-9]7$|00$")))[:3] == [
        "line 7",
        "line 100",
        "line 200",
    ]
    assert texts(tail(config, "hello", 2, Selection(pattern="000$"))) == ["line 11000", "line 12000"]
    assert texts(tail(config, "hello", 1, Selection(pattern=" 7$"))) == ["line 7"]


def test_a_part_that_is_older_than_what_is_wanted_is_not_read(config: Config, folder: Path) -> None:
    say(folder, "old", at=50.0)
    app_log.rotate(folder, 4)
    os.utime(app_log.path(folder, 1), (50.0, 50.0))
    say(folder, "new", at=200.0)

    assert texts(tail(config, "hello", None, Selection(since=100.0))) == ["new"]
    assert texts(tail(config, "hello", None, Selection(since=50.0))) == ["old", "new"]


def test_letters_of_all_languages_are_letters(config: Config, folder: Path) -> None:
    say(folder, "STRASSE ÜBER", "naïve")

    assert texts(tail(config, "hello", None, Selection(pattern="^strasse über$"))) == ["STRASSE ÜBER"]
    assert texts(tail(config, "hello", None, Selection(pattern="^na.ve$"))) == ["naïve"]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "Unmatched ( or \\("),
        ("[a", "Unmatched [, [^, [:, [., or [="),
        ("((a{1000}){1000}){1000}", "Memory exhausted|Regular expression too big|Invalid"),
    ],
)
def test_what_is_no_expression_or_too_large_a_one_is_told(pattern: str, reason: str) -> None:
    with pytest.raises(UsageError, match="cannot be looked for") as caught:
        Selection(pattern=pattern).check()
    assert any(word in caught.value.message for word in reason.split("|"))


def test_an_expression_that_takes_too_long_is_given_up(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitpaas.logs.selection._PATIENCE", 1.0)
    say(folder, "x" * 15_991 + "z")  # a prime number of them: no repetition of any part is the whole

    with pytest.raises(UsageError, match="it takes too long"):
        list(tail(config, "hello", None, Selection(pattern=r"^(xx+)\1+z$")))


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
    follower = Follower(config, Selection("worker"))
    say(folder, "no")
    say(folder, "yes", source="worker.1")

    assert follower.await_lines(1) == ["yes"]
    follower.leave()


def test_following_what_matches(config: Config, folder: Path) -> None:
    say(folder, "error 0", "fine")
    follower = Follower(config, Selection(pattern="error"), lines=None)
    say(folder, "fine", "error 1")
    follower.await_lines(2)
    say(folder, "fine", "Error 2", "error 3", source="worker.1")

    assert follower.await_lines(4) == ["error 0", "error 1", "Error 2", "error 3"]
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


@pytest.mark.parametrize("lines", [1000, None])
def test_long_lines_are_never_all_in_memory(config: Config, folder: Path, lines: int | None) -> None:
    """grep gets what is looked at together, twice: of 5,000 lines of 16 kB that would be 160 MB."""
    say(folder, *(f"{number} {'x' * 16_000}" for number in range(600)))
    sizes: list[int] = []

    class Watched(Selection):
        def pick(self, lines: Sequence[bytes]) -> list[bytes]:
            sizes.append(sum(map(len, lines)))
            return super().pick(lines)

    found = [text.split()[0] for text in texts(tail(config, "hello", lines, Watched()))]

    assert found == [str(number) for number in range(600)]
    assert max(sizes) < 2_000_000


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
