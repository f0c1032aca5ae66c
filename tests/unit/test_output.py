"""How durations, names and errors read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gitpaas import output
from gitpaas.output import plain, seconds, signed, warning


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.004, "0.00s"), (0.09, "0.09s"), (0.0997, "0.1s"), (0.84, "0.8s"), (75, "1m15s"), (3660, "1h01m")],
)
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown


@pytest.mark.parametrize(
    ("waited", "built", "started", "told"),
    [
        (0.1, 18.9, 1.1, "20.1s (build 18.9s, start 1.1s)"),
        (15.1, 0.7, 0.6, "16.4s (waited 15.1s, build 0.7s, start 0.6s)"),
        (0.0, 0.3, 0.01, "0.3s (build 0.3s)"),
        (0.0, 0.01, 0.01, "0.02s"),
    ],
)
def test_what_took_how_long(
    monkeypatch: pytest.MonkeyPatch, waited: float, built: float, started: float, told: str
) -> None:
    now = [1000.0]
    monkeypatch.setattr(output, "time", SimpleNamespace(monotonic=lambda: now[0]))
    laps = output.Laps()
    now[0] += waited
    for name, took in (("build", built), ("start", started)):
        with laps.time(name):
            now[0] += took
    assert str(laps) == told


def test_an_error_and_what_to_do_next_as_lines() -> None:
    assert (
        warning("No room.\nNone at all.", "Make some.") == " !     No room.\n !     None at all.\n !     Make some.\n"
    )
    assert warning("No room.", end="\r\n") == " !     No room.\r\n"


def test_what_others_wrote_moves_no_cursor() -> None:
    assert plain("\x1b[2Jfix\n\tit: é") == " [2Jfix  it: é"


@pytest.mark.parametrize(("key", "told"), [("laptop", 'alice, key "laptop"'), ("alice", "alice"), (None, "alice")])
def test_who_and_by_which_key(key: str | None, told: str) -> None:
    assert signed("alice", key) == told
