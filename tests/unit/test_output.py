"""How durations, names and errors read."""

from __future__ import annotations

import pytest

from gitpaas.output import plain, seconds, signed, warning


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.004, "0.00s"), (0.09, "0.09s"), (0.0997, "0.1s"), (0.84, "0.8s"), (75, "1m15s"), (3660, "1h01m")],
)
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown


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
