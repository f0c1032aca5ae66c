"""Cron expressions, as crontab(5) and Debian's cron read them, in a named time zone.

Moments are seconds since the epoch. Where clocks are put forward, an entry of a fixed time in the hour that is left out
comes right after it; where they are put back, it comes once, and one of every so many minutes or hours goes on.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
    if _next(text, "UTC", 0.0) is None:
        raise ValueError("names a day that never comes")


def require_zone(name: str) -> None:
    """ValueError, in words that follow "it", unless the IANA database knows this time zone."""
    from zoneinfo import available_timezones

    known = available_timezones()
    if name not in known:
        by_small = {zone.lower(): zone for zone in known}
        near = difflib.get_close_matches(name.lower()[:80], by_small, n=1)
        raise ValueError(f"is no time zone; {f'did you mean {by_small[near[0]]}?' if near else 'try Europe/Berlin'}")


def next_moment(schedule: str, zone: str, after: float) -> float | None:
    """The first one after a moment; None when there is none for fifty years."""
    return _next(schedule, zone, after)


def look(schedule: str, zone: str, looked_at: float, now: float) -> Due:
    """What came after `looked_at`, up to `now`. Nothing when the clock was set back meanwhile."""
    current = now - now % _MINUTE
    is_now = current > looked_at and _next(schedule, zone, current - 1) == current
    passed: list[float] = []
    moment = _next(schedule, zone, looked_at)
    while moment is not None and moment < current and len(passed) <= MOST_COUNTED:
        passed.append(moment)
        moment = _next(schedule, zone, moment)
    first, last = (passed[0], passed[-1]) if passed else (0.0, 0.0)
    return Due(current if is_now else None, len(passed), first, last)


def in_words(schedule: str) -> str:
    """ "At 03:00 every day"."""
    return str(_simulation(schedule, datetime.now(UTC)).explain())


def clock_time(moment: float, zone: str) -> str:
    """As clocks in that zone show it: "2026-11-28 03:00"."""
    return f"{_local(moment, zone):%Y-%m-%d %H:%M}"


def _next(schedule: str, zone: str, after: float) -> float | None:
    # Where clocks are put back it may come to a moment that has passed already.
    moments = (moment.timestamp() for moment in _simulation(schedule, _local(after, zone)))
    return next((moment for moment in moments if moment > after), None)


def _simulation(schedule: str, start: datetime) -> CronSim:
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(_expression(schedule), start)
    except CronSimError as error:
        raise ValueError(re.sub("^Bad ", "has a bad ", str(error))) from error


def _expression(text: str) -> str:
    return _NAMED.get(text, text)


def _local(moment: float, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(moment, ZoneInfo(zone))
