"""cron: what a listing shows of entries, runs and what was missed, and who may change it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from callers import Caller
from schedules import Rig

from gitpaas.store import App, OneOff, Schedule
from gitpaas.values import CronEntry

TIDY = CronEntry("tidy", "python tidy.py --key=abc", "0 3 * * *", "Europe/Berlin")
REPORT = CronEntry("report", "true", "@daily")


@pytest.fixture
def rig(operator: Caller) -> Iterator[Rig]:
    rig = Rig(operator.platform)
    rig.clock.now = time.time()
    rig.deploy(TIDY, REPORT)
    with operator.platform.store.session():
        yield rig


def ran(number: int, **fields: object) -> OneOff:
    now = time.time()
    given = {
        "kind": "cron",
        "command": "x",
        "release": 1,
        "by": "gitpaas",
        "created_at": now - 7200,
        "schedule": "tidy",
    }
    return OneOff.create(app=App.get(), number=number, **(given | fields))


@pytest.mark.usefixtures("rig")
def test_each_entry_with_its_zone_and_how_it_went(reader: Caller) -> None:
    ran(11, exit_code=0, finished_at=time.time() - 7140)
    ran(12, exit_code=1, finished_at=time.time() - 7185)

    lines = reader("cron", "hello").out.splitlines()

    assert lines[0].split("  ")[0] == "NAME"
    assert lines[1].startswith("tidy    0 3 * * *  Europe/Berlin  20")
    assert lines[1].endswith(" 03:00  exit 1, 1h ago")
    assert lines[2].startswith("report  @daily     UTC            20")
    assert lines[2].endswith(" 00:00  -")
    assert lines[3] == "tidy: cron.12 exited with 1 after 15.0s"
    assert lines[4] == "What a run printed: ssh paas logs hello -p cron.12"


@pytest.mark.usefixtures("rig")
def test_a_run_under_way_and_one_without_an_exit_code(reader: Caller) -> None:
    ran(1, schedule="report", error="nobody saw how it ended", finished_at=time.time())
    ran(2)

    _, tidy, report, *remarks = reader("cron", "hello").out.splitlines()

    assert tidy.endswith("  runs, since 2h")
    assert report.endswith("  ended, just now")
    assert "report: cron.1 ended: nobody saw how it ended after 2h00m" in remarks


def test_what_was_missed_is_told_in_the_zone_of_the_entry(rig: Rig, reader: Caller) -> None:
    missed = {"missed": 2, "missed_from": 1795780800.0, "missed_to": 1795867200.0}
    values = missed | {"missed_because": "the server was stopped"}
    Schedule.update(values).where(Schedule.id == rig.row("tidy").id).execute()

    said = "tidy missed 2 runs, from 2026-11-27 13:00 to 2026-11-28 13:00 Europe/Berlin: the server was stopped"
    assert said in reader("cron", "hello").out
    assert reader("cron", "hello", "--format", "json").json[0]["missed"] == {
        "runs": 2,
        "from": "2026-11-27T12:00:00.000Z",
        "to": "2026-11-28T12:00:00.000Z",
        "because": "the server was stopped",
    }


@pytest.mark.usefixtures("rig")
def test_json_has_all_of_it(deployer: Caller) -> None:
    ran(3, exit_code=0, finished_at=1795780800.0, created_at=1795780799.0)

    tidy, report = deployer("cron", "hello", "--format", "json").json

    assert tidy["next_at"].endswith(":00:00.000Z")
    del tidy["next_at"]
    assert tidy == {
        "name": "tidy",
        "command": "python tidy.py --key=abc",
        "schedule": "0 3 * * *",
        "in_words": "At 03:00 every day",
        "timezone": "Europe/Berlin",
        "concurrency_policy": "forbid",
        "suspended_by": None,
        "last": {
            "run": "cron.3",
            "by": "gitpaas",
            "release": 1,
            "started_at": "2026-11-27T11:59:59.000Z",
            "finished_at": "2026-11-27T12:00:00.000Z",
            "exit_code": 0,
            "error": None,
        },
        "missed": None,
    }
    assert (report["name"], report["last"]) == ("report", None)


@pytest.mark.usefixtures("rig")
def test_who_may_only_read_sees_which_program_runs_and_not_its_arguments(reader: Caller) -> None:
    assert reader("cron", "hello", "--format", "json").json[0]["command"] == "python"


def test_an_app_without_entries_says_where_they_come_from(operator: Caller, reader: Caller) -> None:
    operator("apps:create", "empty")

    assert reader("cron", "empty").out == (
        "empty has no cron entries. They are in app.json, under cron, and come with a push.\n"
    )
    assert reader("cron", "empty", "--format", "json").json == []


@pytest.mark.usefixtures("rig")
def test_suspend_and_resume_one(deployer: Caller, reader: Caller) -> None:
    assert deployer("cron:suspend", "hello", "tidy").out == "Suspended: tidy.\n"
    assert deployer("cron", "suspend", "hello", "tidy").out == "Suspended already: tidy.\n"
    assert "tidy    0 3 * * *  Europe/Berlin  suspended" in reader("cron", "hello").out

    assert deployer("cron:resume", "hello", "tidy").out == "Resumed: tidy.\n"
    assert deployer("cron:resume", "hello", "tidy").out == "Not suspended here: tidy.\n"
    assert "suspended" not in reader("cron", "hello").out


@pytest.mark.usefixtures("rig")
def test_suspend_and_resume_all(deployer: Caller) -> None:
    deployer("cron:suspend", "hello", "tidy")

    assert deployer("cron:suspend", "hello", "--all").out == "Suspended: report.\n"
    assert deployer("cron:resume", "hello", "--all").out == "Resumed: report, tidy.\n"


def test_what_the_tree_suspends_only_a_push_resumes(rig: Rig, deployer: Caller) -> None:
    rig.deploy(CronEntry("tidy", "true", "@daily", suspended=True))

    assert "app.json itself suspends tidy" in deployer("cron:resume", "hello", "tidy").out
    out = deployer("cron", "hello").out
    assert "suspended" in out
    assert out.endswith("Suspended by app.json: tidy\n")


@pytest.mark.usefixtures("rig")
def test_a_stopped_app_is_shown_as_such(deployer: Caller) -> None:
    App.update(stopped=True).execute()

    assert "the app is stopped" in deployer("cron", "hello").out


@pytest.mark.usefixtures("rig")
@pytest.mark.parametrize("words", [(), ("tidy", "--all")])
def test_which_entry_must_be_said_once(deployer: Caller, words: tuple[str, ...]) -> None:
    answer = deployer("cron:suspend", "hello", *words)

    assert answer.code == 2
    assert "NAME, or --all" in answer.err


@pytest.mark.usefixtures("rig")
def test_a_wrong_name_is_told_the_near_one(deployer: Caller) -> None:
    for verb in ("cron:run", "cron:suspend", "cron:resume"):
        answer = deployer(verb, "hello", "tidi")

        assert answer.code == 1
        assert "hello has no cron entry 'tidi'" in answer.err
        assert "Did you mean tidy?" in answer.err


@pytest.mark.usefixtures("rig")
def test_waiting_needs_a_server_that_sees_the_end(operator: Caller) -> None:
    answer = operator("cron:run", "hello", "tidy", "--wait")

    assert answer.code == 1
    assert "No server runs" in answer.err
    assert OneOff.select().count() == 0


@pytest.mark.usefixtures("rig")
def test_who_may_only_read_changes_nothing(reader: Caller) -> None:
    for argv in (("cron:run", "hello", "tidy"), ("cron:suspend", "hello", "--all"), ("cron:resume", "hello", "tidy")):
        assert reader(*argv).code == 3
