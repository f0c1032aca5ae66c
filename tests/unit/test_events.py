"""Events: kept with who and from where, never in the way of what they tell of."""

from __future__ import annotations

import time

import pytest
from callers import Caller

from gitpaas import events
from gitpaas.errors import NotAllowed, NotFound
from gitpaas.events import Wanted
from gitpaas.store import Event
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
