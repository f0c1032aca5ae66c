"""Events: kept with who and from where, never in the way of what they tell of."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from callers import Caller

from gitpaas import events
from gitpaas.errors import NotAllowed, NotFound
from gitpaas.events import Wanted
from gitpaas.store import App, Event
from gitpaas.values import Actor

ALICE = Actor("alice", "deploy", key="laptop", address="192.0.2.7")
READER = Actor("bob", "read", key="bob")


@pytest.fixture(autouse=True)
def session(operator: Caller) -> None:
    """A database that is open in this thread."""
    operator.platform.store._database.connect()


def test_an_event_has_who_and_from_where() -> None:
    events.record("deploy", "a1b2c3d: v3", app="hello", actor=ALICE)
    events.record("reconcile", "web.1 had gone", app="hello")

    first, second = events.latest(10)
    assert (first.action, first.text, first.app, first.result) == ("deploy", "a1b2c3d: v3", "hello", "ok")
    assert (first.by, first.key, first.address) == ("alice", "laptop", "192.0.2.7")
    assert (second.by, second.key, second.address) == ("gitpaas", None, "local")
    assert abs(first.at - time.time()) < 60


def test_what_is_asked_for_comes_oldest_first() -> None:
    for number in range(5):
        events.record("deploy", str(number), app="even" if number % 2 == 0 else "odd")
    events.record("keys:add", "laptop", app=None)

    assert [event.text for event in events.latest(3, Wanted(actor=READER))] == ["2", "3", "4"]
    assert [event.text for event in events.latest(2)] == ["4", "laptop"]
    assert [event.text for event in events.latest(9, Wanted("odd"))] == ["1", "3"]
    assert list(events.latest(9, Wanted(since=time.time() + 10))) == []
    assert [event.text for event in events.after(events.last_number() - 2, Wanted(actor=READER))] == ["4"]


def test_the_same_refusal_is_told_once_a_minute() -> None:
    for _ in range(3):
        events.refused("ps:stop", "No.", app="hello", actor=READER)
    events.refused("ps:stop", "No.", app="world", actor=READER)
    events.refused("ps:stop", "No.", app="hello", actor=replace(READER, address="192.0.2.9"))

    assert [(event.app, event.address) for event in events.latest(9)] == [
        ("hello", "local"), ("world", "local"), ("hello", "192.0.2.9")
    ]  # fmt: skip
    Event.update(at=time.time() - 61).execute()
    events.refused("ps:stop", "No.", app="hello", actor=READER)
    assert len(list(events.latest(9))) == 4


def test_who_tries_all_doors_does_not_push_the_rest_out() -> None:
    for number in range(30):
        events.refused("logs", "No.", app=f"app-{number}", actor=READER)
    assert len(list(events.latest(None))) == 20

    for number in range(90):
        events.refused("login", "Who?", app=None, actor=Actor("stranger", None, address=f"192.0.2.{number}"))
    assert len(list(events.latest(None))) == 80
    events.refused("logs", "No.", app="hello", actor=ALICE)
    assert [event.by for event in events.latest(1)] == ["alice"]


def test_there_may_be_more_than_fit_into_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_PAGE", 3)
    for number in range(10):
        events.record("deploy", str(number), app="hello")

    assert [event.text for event in events.latest(None)] == [str(number) for number in range(10)]
    assert [event.text for event in events.latest(7)] == [str(number) for number in range(3, 10)]
    assert list(events.latest(0)) == []


def test_who_has_some_apps_sees_what_happened_to_these_since_they_are_there() -> None:
    for app in ("hello", "world"):
        events.record("deploy", "old", app=app)
        App.create(name=app, created_by="alice")
        events.record("deploy", "new", app=app)
    events.record("keys:add", "laptop", app=None)
    carol = Actor("carol", None, key="carol", grants={"hello": "read"})

    assert [(event.app, event.text) for event in events.latest(9, Wanted(actor=carol))] == [("hello", "new")]
    assert list(events.latest(9, Wanted("world", actor=carol))) == []


@pytest.mark.parametrize(
    ("error", "result", "text"),
    [
        (NotFound("There is no such thing.\nReally"), "failed", "web=2: There is no such thing.\nReally"),
        (NotAllowed("No."), "refused", "web=2: No."),
        (ZeroDivisionError("s3cret"), "failed", "web=2: ZeroDivisionError"),
    ],
)
def test_how_it_ended_in_the_users_words(error: Exception, result: str, text: str) -> None:
    assert events.result_of(error) == result
    assert events.explained("web=2", error) == text


def test_the_old_go_and_the_rest_stays() -> None:
    for age in (100, 91, 89, 1):
        Event.create(action="deploy", text=str(age), app="hello", by="alice", at=time.time() - age * 86_400)
    events.trim(90)

    assert [event.text for event in events.latest(9)] == ["89", "1"]
    events.trim(90)
    assert len(list(events.latest(9))) == 2


def test_nobody_fills_the_disk_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST", 10)
    for number in range(25):
        events.record("deploy", str(number), app="hello")
    events.trim(90)

    assert [event.text for event in events.latest(99)] == [str(number) for number in range(15, 25)]


def test_a_database_that_takes_none_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Event, "create", lambda **_: 1 / 0)
    events.record("deploy", "v3", app="hello")

    assert "could not be kept" in caplog.text


def test_a_text_is_one_line_of_bounded_length() -> None:
    events.record("deploy", "a\nb" + "x" * 1000, app="hello")

    (event,) = events.latest(1)
    assert event.text.startswith("a bxxx")
    assert len(event.text) == 500
