"""The cron entries of app.json: what is taken, what each is called, and the field that is named when it is off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitpaas import appjson
from gitpaas.errors import BuildFailed
from gitpaas.values import CronEntry


def parse(*entries: Any) -> tuple[CronEntry, ...]:
    return appjson.parse(json.dumps({"cron": entries})).cron


def entry(**fields: Any) -> dict[str, Any]:
    return {"command": "python tidy.py", "schedule": "@daily"} | fields


def test_dokkus_format() -> None:
    found = parse(
        {"command": "npm run send-email", "schedule": "@daily"},
        {"command": "true", "schedule": " 0  1 * * * ", "concurrency_policy": "replace", "maintenance": True},
    )

    assert found == (
        CronEntry("npm-run-send-email", "npm run send-email", "@daily"),
        CronEntry("true", "true", "0 1 * * *", policy="replace", suspended=True),
    )


def test_a_name_and_a_time_zone_besides() -> None:
    (found,) = parse(entry(name="tidy", timezone="Europe/Berlin"))

    assert (found.name, found.timezone, found.policy) == ("tidy", "Europe/Berlin", "forbid")


def test_times_are_in_utc_unless_the_entry_says_another() -> None:
    assert parse(entry())[0].timezone == "UTC"


def test_no_entries() -> None:
    assert appjson.parse("{}").cron == ()
    assert appjson.parse('{"cron": null}').cron == ()
    assert parse() == ()


def test_the_same_command_at_other_times_has_other_names_in_whatever_order() -> None:
    morning, evening = entry(schedule="0 6 * * *"), entry(schedule="0 18 * * *")

    names = [one.name for one in parse(morning, evening)]

    assert len(set(names)) == 2
    assert all(name.startswith("python-tidy-py-") for name in names)
    assert [one.name for one in parse(evening, morning)] == names[::-1]


def test_a_long_command_makes_a_short_name() -> None:
    (found,) = parse(entry(command="bin/rake 'reports:monthly[all, now]' --verbose --with-a-very-long-flag"))

    assert found.name == "bin-rake-reports-monthly-all-now-verbose"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"schedule": "61 * * * *"}, 'cron[0].schedule is "61 * * * *"; it has a bad minute'),
        ({"schedule": "@reboot"}, 'cron[0].schedule is "@reboot"; it is not one of @yearly'),
        ({"schedule": None}, "cron[0].schedule is missing"),
        ({"schedule": 5}, "cron[0].schedule is 5, not a text"),
        ({"command": None}, "cron[0].command is missing"),
        ({"command": "  "}, 'cron[0].command is "", not a command'),
        ({"command": "a\0b"}, "cron[0].command is "),
        ({"command": ["python"]}, 'cron[0].command is ["python"], not a text'),
        ({"timezone": "Berlin/Europe"}, 'cron[0].timezone is "Berlin/Europe"; it is no time zone'),
        ({"name": "two words"}, 'cron[0].name is "two words"; use up to 63 letters'),
        ({"concurrency_policy": "maybe"}, 'cron[0].concurrency_policy is "maybe"; there are allow, forbid, replace'),
        ({"maintenance": "no"}, 'cron[0].maintenance is "no", neither true nor false'),
    ],
)
def test_the_field_that_is_off_is_named(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(BuildFailed) as error:
        parse(entry(**fields))

    assert fault in error.value.message
    assert error.value.step == "app.json"


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"cron": {"command": "x"}}, 'cron is {"command": "x"}, not a list of entries'),
        ({"cron": ["x"]}, 'cron[0] is "x", not an object'),
        ({"cron": [entry(name="a"), entry(name="a")]}, "cron has 2 entries named a"),
        ({"cron": [entry(), entry()]}, "cron has 2 entries named python-tidy-py-"),
        ({"cron": [entry()] * 101}, "cron has 101 entries; there may be 100"),
    ],
)
def test_the_list_that_is_off_is_named(document: Any, fault: str) -> None:
    with pytest.raises(BuildFailed) as error:
        appjson.parse(json.dumps(document))

    assert fault in error.value.message
