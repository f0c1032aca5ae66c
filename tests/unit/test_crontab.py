"""Cron expressions: which are taken, when they come in a time zone, and what lies between two looks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gitpaas import crontab, zones
from gitpaas.crontab import Due

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC", fold: int = 0) -> float:
    """ "2026-03-29 02:30" as seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def coming(schedule: str, zone: str, start: float, count: int) -> list[str]:
    """The next moments, as clocks there show them, with the offset from UTC."""
    found = []
    for _ in range(count):
        following = crontab.next_moment(schedule, zone, start)
        assert following is not None
        start = following
        found.append(datetime.fromtimestamp(start, ZoneInfo(zone)).strftime("%d %H:%M %z"))
    return found


@pytest.mark.parametrize("text", ["* * * * *", "*/5 9-17 * * MON-FRI", "0 0 L * *", "0 3 29 2 *", "@daily", "@hourly"])
def test_schedules_that_are_taken(text: str) -> None:
    crontab.require_schedule(text)

    assert crontab.in_words(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("61 * * * *", "has a bad minute"),
        ("* * * *", "has 4 fields"),
        ("0 * * * * *", "has 6 fields"),
        ("", "has 0 fields"),
        ("0 0 31 2 *", "has a bad day-of-month"),
        ("@reboot", "is not one of @yearly"),
        ("@Daily", "is not one of @yearly"),
        ("1," * 200 + "1 * * * *", "is longer than 200 characters"),
    ],
)
def test_schedules_that_are_not(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        crontab.require_schedule(text)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
def test_zones_that_are_taken(name: str) -> None:
    zones.require(name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("europe/berlin", "did you mean Europe/Berlin"),
        ("Europe", "is no time zone"),
        ("../../etc/passwd", "is no time zone"),
        ("right/UTC", "is no time zone"),  # counts leap seconds
        ("", "is no time zone"),
    ],
)
def test_zones_that_are_not(name: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        zones.require(name)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_names_stand_for_expressions(name: str, same: str) -> None:
    now = at("2026-11-27 12:31")

    assert crontab.next_moment(name, BERLIN, now) == crontab.next_moment(same, BERLIN, now)


def test_a_time_that_clocks_leave_out_comes_right_after() -> None:
    before = at("2026-03-28 12:00", BERLIN)

    assert coming("30 2 * * *", BERLIN, before, 2) == ["29 03:00 +0200", "30 02:30 +0200"]


def test_a_time_that_clocks_show_twice_comes_once() -> None:
    before = at("2026-10-24 12:00", BERLIN)

    assert coming("30 2 * * *", BERLIN, before, 2) == ["25 02:30 +0200", "26 02:30 +0100"]


def test_a_time_that_clocks_show_twice_is_over_in_the_second_hour() -> None:
    second_hour = at("2026-10-25 02:10", BERLIN, fold=1)

    assert coming("30 2 * * *", BERLIN, second_hour, 1) == ["26 02:30 +0100"]


def test_every_so_many_minutes_goes_on_in_both_hours() -> None:
    before = at("2026-10-25 01:40", BERLIN)

    found = coming("*/30 * * * *", BERLIN, before, 5)

    assert found == ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100"]


def test_every_so_many_minutes_jumps_with_the_clock() -> None:
    assert coming("*/30 * * * *", BERLIN, at("2026-03-29 01:40", BERLIN), 2) == ["29 03:00 +0200", "29 03:30 +0200"]


@pytest.mark.parametrize(
    ("schedule", "zone", "start", "expected"),
    [
        # From 03:45 back to 02:45, in the middle of the hour that is asked for.
        ("59 3-4 * * *", "Pacific/Chatham", "2026-04-05 02:00", ["05 03:59 +1245", "05 04:59 +1245"]),
        ("*/22 3 * * *", "Pacific/Chatham", "2026-04-05 03:30", ["05 03:44 +1345", "05 03:00 +1245", "05 03:22 +1245"]),
        # From 02:00 back to 01:30.
        ("*/20 1 * * *", "Australia/Lord_Howe", "2026-04-05 01:25", ["05 01:40 +1100", "05 01:40 +1030"]),
        ("0 */2 * * *", "Australia/Lord_Howe", "2026-04-05 01:25", ["05 02:00 +1030", "05 04:00 +1030"]),
        # At midnight to 01:00: that day has no 00:30.
        ("30 0 * * *", "Africa/Cairo", "2026-04-23 12:00", ["24 01:00 +0300", "25 00:30 +0300"]),
    ],
)
def test_clocks_that_are_put_otherwise_than_by_whole_hours_at_night(
    schedule: str, zone: str, start: str, expected: list[str]
) -> None:
    assert coming(schedule, zone, at(start, zone), len(expected)) == expected


@pytest.mark.parametrize("schedule", ["*/15 * * * *", "30 2 * * *", "0,45 1-3 * * *", "5 */2 * * *", "* 3 * * *"])
@pytest.mark.parametrize(
    ("zone", "night"),
    [
        ("Europe/Berlin", "2026-03-28"),
        ("Europe/Berlin", "2026-10-24"),
        ("America/New_York", "2026-03-07"),
        ("America/New_York", "2026-10-31"),
        ("Australia/Lord_Howe", "2026-04-04"),
        ("Australia/Lord_Howe", "2026-10-03"),
        ("Pacific/Chatham", "2026-04-04"),
        ("Pacific/Chatham", "2026-09-26"),
    ],
)
def test_looking_each_minute_finds_what_comes_next_each_once(schedule: str, zone: str, night: str) -> None:
    start, minutes = at(f"{night} 22:30", zone), 8 * 60
    found, decided = [], start
    for minute in range(1, minutes):
        due = crontab.look(schedule, zone, decided, start + minute * 60 + 5)
        if due.now is not None:
            found.append(due.now)
            decided = due.now
        assert due.passed == 0

    expected, moment = [], start
    while (moment := crontab.next_moment(schedule, zone, moment) or 0) < start + minutes * 60:
        expected.append(moment)
    assert found == expected != []


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("0 0 31 * *", "2026-01-31 00:00", "2026-03-31 00:00"),  # February has none
        ("0 0 L * *", "2026-02-01 00:00", "2026-02-28 00:00"),
        ("0 0 L * *", "2028-02-01 00:00", "2028-02-29 00:00"),
        ("0 0 29 2 *", "2026-02-28 12:00", "2028-02-29 00:00"),
        ("59 23 31 12 *", "2026-12-31 23:58", "2026-12-31 23:59"),
        ("@monthly", "2026-12-31 23:59", "2027-01-01 00:00"),
        ("0 9 1,15 * 5", "2026-11-16 00:00", "2026-11-20 09:00"),  # a Friday: either day counts, as in cron
    ],
)
def test_ends_of_months_and_leap_years(schedule: str, after: str, expected: str) -> None:
    assert crontab.next_moment(schedule, "UTC", at(after)) == at(expected)


def test_a_look_within_the_minute_finds_it() -> None:
    due = crontab.look("0 12 * * *", "UTC", at("2026-11-27 03:00"), at("2026-11-27 12:00") + 59)

    assert due == Due(now=at("2026-11-27 12:00"))


def test_a_look_one_minute_late_finds_it_passed() -> None:
    noon = at("2026-11-27 12:00")

    assert crontab.look("0 12 * * *", "UTC", noon - 600, noon + 60) == Due(None, 1, noon, noon)


def test_a_look_after_a_while_tells_the_minute_under_way_from_those_before() -> None:
    noon = at("2026-11-27 12:00")

    assert crontab.look("* * * * *", "UTC", noon, noon + 245) == Due(noon + 240, 3, noon + 60, noon + 180)


def test_what_was_decided_on_does_not_come_again() -> None:
    noon = at("2026-11-27 12:00")

    assert crontab.look("* * * * *", "UTC", noon, noon + 30) == Due()
    assert crontab.look("* * * * *", "UTC", noon + 20, noon + 30) == Due()  # deployed in the middle of a minute
    assert crontab.look("* * * * *", "UTC", noon, noon - 1800) == Due()  # the clock was set back


def test_a_long_pause_is_counted_to_a_bound() -> None:
    now = at("2026-11-27 12:00")

    due = crontab.look("* * * * *", "UTC", now - 400 * 86400, now)

    assert due.now == now
    assert due.passed == crontab.MOST_COUNTED + 1


def test_the_left_out_hour_is_looked_at_once() -> None:
    three = at("2026-03-29 03:00", BERLIN)

    assert crontab.look("30 2 * * *", BERLIN, three - 3600, three + 1) == Due(now=three)
    assert crontab.look("30 2 * * *", BERLIN, three, three + 7200) == Due()


def test_the_hour_that_comes_twice_is_looked_at_once() -> None:
    first, second = at("2026-10-25 02:30", BERLIN), at("2026-10-25 02:30", BERLIN, fold=1)

    assert crontab.look("30 2 * * *", BERLIN, first - 60, first) == Due(now=first)
    assert crontab.look("30 2 * * *", BERLIN, first, second) == Due()


def test_moments_are_shown_in_their_zone() -> None:
    assert crontab.clock_time(at("2026-11-27 12:00"), "Asia/Kathmandu") == "2026-11-27 17:45"
