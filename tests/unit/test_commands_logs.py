"""logs: what the reader of an app's log sees."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict

import pytest
from callers import Answer, Caller
from instances import until

from gitpaas.logs import Collector, platform_line
from gitpaas.store import App, Release
from gitpaas.values import Artifact, Survey


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")


def say(caller: Caller, *texts: str) -> None:
    config = caller.platform.config
    for text in texts:
        platform_line(config, "hello", text)
    Collector(config, lambda: Survey(())).collect_once()


def test_the_last_lines(operator: Caller, reader: Caller) -> None:
    assert reader("logs", "hello") == Answer(0, "", "hello has printed nothing that is kept.\n")
    assert reader("logs", "hello", "--format", "json") == reader("logs", "hello", "-n", "0") == Answer(0, "", "")
    say(operator, *map(str, range(150)))

    assert len(reader("logs", "hello").out.splitlines()) == 100
    assert reader("logs", "hello", "-n", "1").out.endswith("Z gitpaas - 149\n")
    assert reader("logs", "hello", "-p", "web") == Answer(0, "", "web of hello has printed nothing that is kept.\n")
    assert len(reader("logs", "hello", "-p", "gitpaas", "--lines=7").out.splitlines()) == 7


def test_as_json_lines(operator: Caller, reader: Caller) -> None:
    say(operator, "two words")

    line = reader("logs", "hello", "--format", "json").json
    assert line.pop("time").endswith("Z")
    assert line == {"source": "gitpaas", "release": None, "text": "two words"}


def test_following_shows_old_and_new_and_ends_with_the_client(operator: Caller, reader: Caller) -> None:
    say(operator, "old", "older than new")

    def go_on() -> None:
        until(lambda: "older than new" in "".join(reader.shown))
        say(operator, "new")
        until(lambda: " - new" in "".join(reader.shown))
        reader.gone.set()

    writer = threading.Thread(target=go_on)
    writer.start()
    answer = reader("logs", "hello", "-t", "-n", "1")
    writer.join()
    assert [line.split(" - ")[1] for line in answer.out.splitlines()] == ["older than new", "new"]


def test_process_that_was_mistyped_is_told(operator: Caller, reader: Caller) -> None:
    released(operator)
    say(operator, "one")
    assert reader("logs", "hello", "-t", "-p", "wbe.1").err == (
        " !     hello has no process type 'wbe'.\n !     There are: cron, gitpaas, release, run, web, worker.\n"
    )
    for name in ("web", "worker.7", "run.1", "cron.2", "release.1", "gitpaas"):
        assert reader("logs", "hello", "-p", name).code == 0


def released(caller: Caller) -> None:
    made = Artifact("slug", "/slug", "slug", "", {"web": "./serve", "worker": "./work"})
    with caller.platform.store.session():
        app = App.get(App.name == "hello")
        config = caller.platform.store.seal.close("{}")
        Release.create(app=app, number=3, description="", artifact=json.dumps(asdict(made)), config=config, by="alice")
        App.update(release=3).execute()


def test_what_is_wanted_can_be_told_in_many_ways(operator: Caller, reader: Caller) -> None:
    released(operator)
    say(operator, *map(str, range(150)), "ERROR 7")

    assert len(reader("logs", "hello", "--since", "1h").out.splitlines()) == 151  # all of the time that is asked for
    assert len(reader("logs", "hello", "--since", "1h", "-n", "3").out.splitlines()) == 3
    assert reader("logs", "hello", "--until", "1h").err == "Nothing that is kept of hello is of that kind.\n"
    assert reader("logs", "hello", "--until=0001-01-01T00:00+14:00").code == 0  # before the year 1
    assert len(reader("logs", "hello", "--until=2999-01-01").out.splitlines()) == 151
    assert [line[-3:] for line in reader("logs", "hello", "--grep", "r 7|^[34]9$").out.splitlines()] == [
        " 39",
        " 49",
        "R 7",
    ]
    assert reader("logs", "hello", "--release", "v3").err == "Nothing that is kept of hello is of that kind.\n"
    assert reader("logs", "hello", "--release", "3", "-p", "web").code == 0


def test_following_what_matches(operator: Caller, reader: Caller) -> None:
    say(operator, "error 1", "fine")

    def go_on() -> None:
        until(lambda: "error 1" in "".join(reader.shown))
        say(operator, "fine", "error 2")
        until(lambda: "error 2" in "".join(reader.shown))
        reader.gone.set()

    writer = threading.Thread(target=go_on)
    writer.start()
    answer = reader("logs", "hello", "-t", "--grep", "error", "--since", "1h")
    writer.join()
    assert [line.split(" - ")[1] for line in answer.out.splitlines()] == ["error 1", "error 2"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--grep", "("), "Unmatched ("),
        (("--grep", "a\0b"), "'a\\x00b' cannot be looked for: no line has a NUL."),
        (("--since", "soon"), "'soon' is neither an age nor a time."),
        (("-t", "--until", "1h"), "-t shows what comes"),
        (("--release", "last"), "'last' is not a release."),
        (("--release", "v9"), "hello has no release v9."),
    ],
)
def test_what_is_wanted_but_cannot_be_is_told(reader: Caller, argv: tuple[str, ...], told: str) -> None:
    answer = reader("logs", "hello", *argv)
    assert answer.code in (1, 2)
    assert told in answer.err


@pytest.mark.parametrize("argv", [("-n", "-1"), ("-n", "x"), ("-p", "../x"), ("-p", "")])
def test_what_cannot_be_meant(reader: Caller, argv: tuple[str, ...]) -> None:
    assert reader("logs", "hello", *argv).code == 2
