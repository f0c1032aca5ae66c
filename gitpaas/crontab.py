"""Cron expressions, as crontab(5) and Debian's cron read them, in a named time zone.

Moments are seconds since the epoch. Where clocks are put forward, an entry of a fixed time in the hour that is left out
comes right after it; where they are put back, it comes once, and one of every so many minutes or hours goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gitpaas import zones

if TYPE_CHECKING:
    from cronsim import CronSim

MOST_COUNTED = 200  # moments that went by: beyond, they are only many
_MINUTE = 60.0
_LONGEST = 200  # characters of an expression
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True)
class Due:
    """What of a schedule lies between two looks at it."""

    now: float | None = None  # the minute that is under way, when it is one of its
    passed: int = 0  # how many earlier ones; MOST_COUNTED + 1 stands for more than are counted
    first: float = 0.0  # of those
    last: float = 0.0


def require_schedule(text: str) -> None:
    """ValueError, in words that follow "it", unless this is an expression of five fields or a name, and comes ever."""
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    if text.startswith("@") and text not in _NAMED:
        raise ValueError(f"is not one of {', '.join(_NAMED)}")
    if len(fields := _expression(text).split()) != 5:
        raise ValueError(f"has {len(fields)} fields, not five: minute, hour, day of month, month, day of week")
    if next_moment(text, "UTC", 0.0) is None:
        raise ValueError("names a day that never comes")


def next_moment(schedule: str, zone: str, after: float) -> float | None:
    """The first one after a moment; None when there is none for fifty years."""
    return _next_steady(schedule, zone, after) if _is_steady(schedule) else _next_fixed(schedule, zone, after)


def look(schedule: str, zone: str, looked_at: float, now: float) -> Due:
    """What came after `looked_at`, up to `now`. Nothing when the clock was set back meanwhile."""
    current = now - now % _MINUTE
    is_now = current > looked_at and next_moment(schedule, zone, current - 1) == current
    passed: list[float] = []
    moment = next_moment(schedule, zone, looked_at)
    while moment is not None and moment < current and len(passed) <= MOST_COUNTED:
        passed.append(moment)
        moment = next_moment(schedule, zone, moment)
    first, last = (passed[0], passed[-1]) if passed else (0.0, 0.0)
    return Due(current if is_now else None, len(passed), first, last)


def in_words(schedule: str) -> str:
    """ "At 03:00 every day"."""
    return str(_simulation(schedule, datetime.now(UTC)).explain())


def clock_time(moment: float, zone: str) -> str:
    """As clocks in that zone show it: "2026-11-28 03:00"."""
    return f"{zones.shown(moment, zone):%Y-%m-%d %H:%M}"


def _is_steady(schedule: str) -> bool:
    """Every so many minutes or hours, which Debian's cron tells from fixed times by the star that they begin with."""
    minute, hour = _expression(schedule).split()[:2]
    return minute.startswith("*") or hour.startswith("*")


def _next_fixed(schedule: str, zone: str, after: float) -> float | None:
    """Each time that clocks show counts once: the first time, or right after when it is left out."""
    moments = (zones.first_shown(clock, zone) for clock in _simulation(schedule, zones.shown(after, zone)))
    return next((moment for moment in moments if moment > after), None)


def _next_steady(schedule: str, zone: str, after: float) -> float | None:
    """Whatever clocks show counts whenever they show it. From one change of the clocks to the next they just run."""
    shown = zones.shown(after, zone)
    while (clock := next(_simulation(schedule, shown), None)) is not None:
        moment = clock.replace(tzinfo=UTC).timestamp() - zones.offset(after, zone)
        change = zones.change(zone, after, moment)
        if change is None:
            return moment
        after, shown = change, zones.shown(change, zone) - timedelta(seconds=1)  # the change itself may be one
    return None


def _simulation(schedule: str, start: datetime) -> CronSim:
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(_expression(schedule), start)
    except CronSimError as error:
        raise ValueError(re.sub("^Bad ", "has a bad ", str(error))) from error


def _expression(text: str) -> str:
    return _NAMED.get(text, text)
