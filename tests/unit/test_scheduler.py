"""Which minutes of cron entries are run and which are told, with a clock that tests move."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from callers import quiet_platform
from schedules import EVERY_MINUTE, NOON, Rig

from gitpaas import cron
from gitpaas.apps import schedules
from gitpaas.config import Config
from gitpaas.errors import RuntimeFailed
from gitpaas.store import App, OneOff, Schedule
from gitpaas.values import CronEntry


@pytest.fixture
def rig(config: Config) -> Iterator[Rig]:
    platform = quiet_platform(config)
    yield Rig(platform)
    platform.store.close()


def test_an_entry_runs_once_in_each_of_its_minutes(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)

    rig.rounds(185)

    assert rig.minutes() == [1, 2, 3]
    assert rig.texts() == ["cron tick runs as cron.1", "cron tick runs as cron.2", "cron tick runs as cron.3"]
    assert rig.events() == []


def test_an_entry_that_comes_with_a_deploy_does_not_run_in_the_minute_under_way(rig: Rig) -> None:
    rig.clock.goes_on(20)
    rig.deploy(EVERY_MINUTE)

    rig.rounds(39)
    assert rig.runs == []

    rig.rounds(3)
    assert rig.minutes() == [1]


def test_entries_of_all_apps_run_each_at_its_time(rig: Rig) -> None:
    rig.deploy(CronEntry("odd", "true", "1-59/2 * * * *"), app="one")
    rig.deploy(CronEntry("later", "true", "3 13 * * *", timezone="Europe/Berlin"), app="two")

    rig.rounds(250)

    assert sorted((app, name, round(when - NOON) // 60) for app, name, when in rig.runs) == [
        ("one", "odd", 1),
        ("one", "odd", 3),
        ("two", "later", 3),
    ]


def test_minutes_that_passed_while_the_server_was_stopped_are_told_and_not_run(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.rounds(65)
    rig.clock.goes_on(240)
    rig.restart()

    rig.rounds(10)

    said = "tick missed 3 runs, from 2026-11-27 12:02 to 2026-11-27 12:04 UTC: the server was stopped"
    assert rig.minutes() == [1, 5]
    assert f"cron {said}" in rig.texts()
    assert rig.events() == [("hello", said, "failed")]
    row = rig.row()
    assert (row.missed, row.missed_from, row.missed_to) == (3, NOON + 120, NOON + 240)


def test_one_missed_minute_is_told_in_the_time_zone_of_its_entry(rig: Rig) -> None:
    rig.deploy(CronEntry("tidy", "true", "1 17 * * *", timezone="Asia/Karachi"))
    rig.clock.goes_on(3600)

    rig.rounds(1)

    assert rig.texts() == ["cron tidy missed 1 run, of 2026-11-27 17:01 Asia/Karachi: the server was stopped"]
    assert rig.runs == []


def test_a_server_that_is_back_within_the_minute_runs_it(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.clock.goes_on(59)
    rig.rounds(1)
    rig.clock.goes_on(20)
    rig.restart()

    rig.rounds(3)

    assert rig.minutes() == [1]
    assert rig.events() == []


def test_a_server_that_takes_over_within_the_minute_does_not_run_it_again(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.rounds(62)
    rig.restart()

    rig.rounds(30)

    assert rig.minutes() == [1]
    assert rig.texts() == ["cron tick runs as cron.1"]


def test_two_servers_at_the_same_moment_run_a_minute_once(rig: Rig) -> None:
    rig.deploy(*(CronEntry(f"tick{n}", "true", "* * * * *") for n in range(10)))
    rig.clock.goes_on(61)
    both = threading.Barrier(2)
    first = rig.scheduler
    rig.restart()

    def look(scheduler: object) -> None:
        both.wait(60)
        scheduler.run_once()  # type: ignore[attr-defined]

    threads = [threading.Thread(target=look, args=(one,)) for one in (first, rig.scheduler)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(name for _, name, _ in rig.runs) == [f"tick{n}" for n in range(10)]


def test_who_reads_a_row_before_another_decides_on_it_does_not_decide_again(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    with rig.platform.store.session():
        (mine,), (others,) = schedules.everywhere(), schedules.everywhere()

        assert schedules.claim(mine, NOON + 60)
        assert not schedules.claim(others, NOON + 60)


def test_a_clock_that_is_moved_ahead_leaves_out_minutes_and_says_so(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.rounds(65)
    rig.clock.is_set(NOON + 605)

    rig.rounds(5)

    assert rig.minutes() == [1, 10]
    assert rig.texts()[1] == (
        "cron tick missed 8 runs, from 2026-11-27 12:02 to 2026-11-27 12:09 UTC: "
        "the clock was moved ahead, or the machine slept"
    )


def test_a_round_that_comes_late_says_that_the_server_was_busy(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.rounds(65)
    rig.clock.goes_on(120)

    rig.rounds(1)

    assert rig.texts()[1].endswith("the server was too busy")


def test_a_clock_that_is_set_back_runs_nothing_twice_and_says_until_when(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.rounds(305)
    assert rig.minutes() == [1, 2, 3, 4, 5]
    rig.clock.is_set(NOON + 95)

    rig.rounds(270)

    assert rig.minutes() == [1, 2, 3, 4, 5, 6]
    waits = "tick goes on after 2026-11-27 12:05 UTC, so that nothing runs twice: the clock was set back"
    assert [text for text in rig.texts() if "set back" in text] == [f"cron {waits}"]
    assert rig.events() == [("hello", waits, "failed")]


def test_a_clock_that_is_set_back_is_told_of_entries_that_wait_for_it_only(rig: Rig) -> None:
    rig.deploy(CronEntry("tidy", "true", "5 12 * * *"))
    rig.rounds(305)
    rig.clock.is_set(NOON + 303 - 3600 * 2 - 600)
    before = list(rig.told)

    rig.deploy(CronEntry("tidy", "true", "5 12 * * *"), CronEntry("night", "true", "0 3 * * *"))
    rig.rounds(62)

    assert [text for text in rig.texts() if text not in [t for _, t in before]] == [
        "cron tidy goes on after 2026-11-27 12:05 UTC, so that nothing runs twice: the clock was set back"
    ]


def test_a_clock_that_was_far_ahead_is_put_right(rig: Rig) -> None:
    rig.clock.is_set(NOON + 400 * 86400)
    rig.deploy(EVERY_MINUTE)
    rig.rounds(65)
    rig.clock.is_set(NOON)

    rig.rounds(65)

    assert rig.minutes()[1:] == [1]
    assert rig.events() == [
        ("hello", "tick goes on from now, not from 2028-01-01 12:01 UTC: the clock was set back", "failed")
    ]


def test_a_long_stop_is_told_in_one_line(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.clock.goes_on(90 * 86400)

    rig.rounds(1)

    assert rig.texts()[0] == (
        "cron tick missed more than 200 runs, from 2026-11-27 12:01 on UTC: the server was stopped"
    )
    assert len(rig.runs) == 1


def test_a_suspended_entry_does_not_run_and_misses_nothing(rig: Rig) -> None:
    app = rig.deploy(EVERY_MINUTE)
    with rig.platform.store.session():
        assert schedules.suspend(app, ["tick"]) == ["tick"]
        assert schedules.suspend(app, ["tick"]) == []
    rig.rounds(185)
    with rig.platform.store.session():
        assert schedules.resume(app, ["tick"]) == ["tick"]
        Schedule.update(looked_at=rig.clock.now).execute()  # by the clock of this test

    rig.rounds(60)

    assert rig.minutes() == [4]
    assert rig.events() == []


def test_to_resume_after_the_clock_was_set_back_runs_nothing_twice(rig: Rig) -> None:
    app = rig.deploy(EVERY_MINUTE)
    rig.clock.is_set(NOON + 400 * 86400)
    with rig.platform.store.session():
        Schedule.update(looked_at=rig.clock.now).execute()
        schedules.suspend(app, ["tick"])

        schedules.resume(app, ["tick"])

    assert rig.row().looked_at == rig.clock.now


def test_an_entry_that_its_tree_suspends_does_not_run(rig: Rig) -> None:
    rig.deploy(CronEntry("tick", "true", "* * * * *", suspended=True))
    rig.rounds(185)
    rig.deploy(EVERY_MINUTE)

    rig.rounds(60)

    assert rig.minutes() == [4]
    assert rig.events() == []


def test_a_stopped_app_runs_nothing_and_that_is_told_once(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    with rig.platform.store.session():
        App.update(stopped=True).execute()
    rig.rounds(185)
    said = "tick does not run while the app is stopped"
    assert rig.runs == []
    assert rig.events() == [("hello", said, "ok")]

    with rig.platform.store.session():
        App.update(stopped=False).execute()
    rig.rounds(60)

    assert rig.minutes() == [4]
    assert rig.texts() == [f"cron {said}", "cron tick runs as cron.1"]


def test_an_app_in_maintenance_runs_its_entries(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    with rig.platform.store.session():
        App.update(maintenance=True).execute()

    rig.rounds(65)

    assert rig.minutes() == [1]


def test_a_deploy_keeps_what_is_remembered_of_entries_that_stay(rig: Rig) -> None:
    app = rig.deploy(EVERY_MINUTE, CronEntry("tidy", "true", "@daily"))
    rig.rounds(65)
    with rig.platform.store.session():
        schedules.suspend(app, ["tidy"])
    looked_at = rig.row("tick").looked_at

    rig.deploy(EVERY_MINUTE, CronEntry("tidy", "true", "@daily"), CronEntry("fresh", "true", "@hourly"))

    assert rig.row("tick").looked_at == looked_at
    assert rig.row("tidy").suspended
    assert not rig.row("fresh").suspended


def test_a_deploy_forgets_entries_that_are_gone(rig: Rig) -> None:
    app = rig.deploy(EVERY_MINUTE)
    with rig.platform.store.session():
        schedules.suspend(app, ["tick"])

    rig.deploy()
    rig.rounds(125)
    rig.deploy(EVERY_MINUTE)
    rig.rounds(62)

    assert rig.minutes() == [3]


def test_an_entry_whose_time_changes_has_missed_nothing_of_the_new_one(rig: Rig) -> None:
    rig.deploy(CronEntry("tidy", "true", "1 12 * * *"))
    rig.rounds(65)
    rig.clock.goes_on(3600)
    rig.deploy(CronEntry("tidy", "true", "30 12 * * *"))

    rig.rounds(62)

    assert rig.minutes() == [1]
    assert rig.events() == []


def test_what_still_runs_is_told_once_for_each_run_that_is_in_the_way(rig: Rig) -> None:
    app = rig.deploy(EVERY_MINUTE)
    in_the_way = OneOff(id=7, app=app, kind="cron", number=7)
    rig.fails = cron.StillRuns("tick", in_the_way)

    rig.rounds(185)

    assert rig.texts() == ["cron tick is skipped: cron.7 still runs"]
    assert len(rig.events()) == 1


def test_an_entry_that_cannot_be_started_keeps_nobody_waiting(rig: Rig) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.fails = RuntimeFailed("No such image.")
    rig.rounds(62)
    rig.fails = None

    rig.rounds(60)

    assert rig.texts() == ["cron tick did not start: No such image.", "cron tick runs as cron.1"]


def test_an_entry_that_cannot_be_read_any_more_keeps_nobody_waiting(rig: Rig) -> None:
    rig.deploy(CronEntry("lost", "true", "* * * * *", timezone="Mars/Olympus"), EVERY_MINUTE)

    rig.rounds(62)

    assert [name for _, name, _ in rig.runs] == ["tick"]


def test_between_two_minutes_the_database_is_left_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.deploy(EVERY_MINUTE)
    rig.rounds(2)
    monkeypatch.setattr(schedules, "everywhere", lambda: pytest.fail("nothing can be due"))

    rig.rounds(50)

    assert rig.runs == []
