"""How durations read."""

from __future__ import annotations

import pytest

from gitpaas.output import seconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.004, "0.00s"), (0.09, "0.09s"), (0.0997, "0.1s"), (0.84, "0.8s"), (75, "1m15s"), (3660, "1h01m")],
)
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown
