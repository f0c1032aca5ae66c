"""Time zones: what clocks in one show, and what happens to them twice a year. Moments are seconds since the epoch.

zoneinfo is loaded late: most servers never need it.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime, timedelta

_DAY = 86_400.0


def require(name: str) -> None:
    """ValueError, in words that follow "it", unless the IANA database knows this time zone."""
    from zoneinfo import available_timezones

    known = available_timezones()
    if name not in known:
        by_small = {zone.lower(): zone for zone in known}
        near = difflib.get_close_matches(name.lower()[:80], by_small, n=1)
        raise ValueError(f"is no time zone; {f'did you mean {by_small[near[0]]}?' if near else 'try Europe/Berlin'}")


def shown(moment: float, zone: str) -> datetime:
    """What clocks there show: a time without a zone."""
    return _local(moment, zone).replace(tzinfo=None)


def offset(moment: float, zone: str) -> float:
    """Seconds by which clocks there are ahead of UTC."""
    return (_local(moment, zone).utcoffset() or timedelta()).total_seconds()


def first_shown(clock: datetime, zone: str) -> float:
    """When clocks there show this for the first time; when they leave it out, the moment right after the gap."""
    from zoneinfo import ZoneInfo

    there = clock.replace(tzinfo=ZoneInfo(zone), fold=0)
    while there.astimezone(UTC).astimezone(there.tzinfo) != there:
        there = (there.replace(tzinfo=None) + timedelta(minutes=1)).replace(tzinfo=there.tzinfo)
    return there.timestamp()


def change(zone: str, after: float, until: float) -> float | None:
    """The first whole second after one moment, up to another, at which clocks there have been put forward or back."""
    before = offset(after, zone)
    low = after
    while low < until:
        high = min(low + _DAY, until)
        if offset(high, zone) != before:
            return _narrowed(zone, low, high, before)
        low = high
    return None


def _narrowed(zone: str, low: float, high: float, before: float) -> float:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset(middle, zone) == before else (low, middle)
    return high


def _local(moment: float, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(moment, ZoneInfo(zone))
