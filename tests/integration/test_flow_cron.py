"""Cron in the flow: entries that come and go with releases, and runs that are real processes by a test's clock."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from flow import ALICE, Flow

from gitpaas import apps, cron, deploy, oneoffs
from gitpaas.apps import schedules
from gitpaas.cron.scheduler import Scheduler
from gitpaas.errors import NotFound
from gitpaas.output import Output
from gitpaas.store import App, Event, OneOff, Schedule

JOB = "worker: exec sleep 600\n"


def manifest(*entries: dict[str, Any]) -> dict[str, str]:
    listed = [{"name": "tick", "schedule": "* * * * *"} | entry for entry in entries]
    return {"app_json": json.dumps({"cron": listed, "formation": {"worker": {"quantity": 0}}})}


def push(flow: Flow, *entries: dict[str, Any]) -> None:
    flow.deploy(JOB, **manifest(*entries))


def look(flow: Flow, minutes: int = 1) -> None:
    """One look of a server that has just started, so many minutes after those that were decided on."""
    decided = max(row.looked_at for row in Schedule.select())
    moment = decided - decided % 60 + 60 * minutes
    Scheduler(flow.platform, lambda app, text: flow.told.append(text), clock=lambda: moment).run_once()


def runs(flow: Flow) -> list[OneOff]:
    return list(OneOff.select().where(OneOff.app == flow.app).order_by(OneOff.id))


def ended(flow: Flow) -> list[int | None]:
    """Exit codes, once no run is under way."""
    flow.reconcile(lambda: not oneoffs.unfinished(flow.app))
    return [one.exit_code for one in runs(flow)]


def names(flow: Flow) -> list[str]:
    return [entry.name for entry in cron.entries(flow.app)]


def remembered(flow: Flow) -> list[str]:
    return sorted(row.name for row in Schedule.select().where(Schedule.app == flow.app))


def test_an_entry_runs_as_a_one_off_of_the_live_release(flow: Flow) -> None:
    push(flow, {"command": "test $GITPAAS_CRON = tick && exit 7"})

    look(flow)

    assert ended(flow) == [7]
    (one_off,) = runs(flow)
    assert (oneoffs.label(one_off), one_off.schedule, one_off.release, one_off.by) == ("cron.1", "tick", 1, "gitpaas")
    assert flow.told == ["cron tick runs as cron.1"]
    assert "Cron: tick (* * * * *, UTC)" in flow.lines.text


def test_a_process_type_stands_for_its_command(flow: Flow) -> None:
    flow.deploy("worker: exit 3\n", **manifest({"command": "worker"}))

    look(flow)

    assert ended(flow) == [3]


def test_entries_go_with_the_release_and_come_back_with_a_rollback(flow: Flow) -> None:
    push(flow, {"command": "true", "name": "old"}, {"command": "true", "name": "both"})
    schedules.suspend(flow.app, ["both"])
    push(flow, {"command": "true", "name": "both"}, {"command": "true", "name": "new"})
    assert (names(flow), remembered(flow)) == (["both", "new"], ["both", "new"])

    deploy.rollback(flow.platform, flow.app, 1, ALICE, Output())

    assert (names(flow), remembered(flow)) == (["old", "both"], ["both", "old"])
    assert schedules.of(flow.app)["both"].suspended


def test_a_change_of_config_keeps_the_entries(flow: Flow) -> None:
    push(flow, {"command": 'test "$TEXT" = new'})

    deploy.set_config(flow.platform, flow.app, {"TEXT": "new"}, ALICE, Output())
    look(flow)

    assert ended(flow) == [0]


def test_a_bad_entry_fails_the_push_and_names_the_field(flow: Flow) -> None:
    push(flow, {"command": "true"})

    code = flow.push(flow.commit(JOB, **manifest({"command": "true", "schedule": "0 25 * * *"})))

    assert code == 1
    assert 'app.json: cron[0].schedule is "0 25 * * *"; it has a bad hour' in flow.lines.text
    assert remembered(flow) == ["tick"]


def test_a_run_that_goes_on_is_never_joined_by_a_second(flow: Flow) -> None:
    push(flow, {"command": "exec sleep 600"})

    look(flow)
    look(flow)

    assert len(runs(flow)) == 1
    assert flow.told[-1] == "cron tick is skipped: cron.1 still runs"
    told = [event.text for event in Event.select().where(Event.action == "cron")]
    assert told == ["tick is skipped: cron.1 still runs"]


def test_a_run_that_is_allowed_company_gets_it(flow: Flow) -> None:
    push(flow, {"command": "exec sleep 600", "concurrency_policy": "allow"})

    look(flow)
    look(flow)

    assert [one.finished_at for one in runs(flow)] == [None, None]


def test_a_run_takes_the_place_of_the_one_before(flow: Flow) -> None:
    push(flow, {"command": "exec sleep 600", "concurrency_policy": "replace"})

    look(flow)
    look(flow)

    first, second = runs(flow)
    assert first.error == "the next run took its place"
    assert second.finished_at is None
    assert [instance.label for instance in flow.running()] == ["cron.2"]


def test_by_hand_at_the_same_moment_one_runs(flow: Flow) -> None:
    push(flow, {"command": "exec sleep 600"})
    (entry,), app, refused = cron.entries(flow.app), flow.app, []
    together = threading.Barrier(4)

    def by_hand() -> None:
        with flow.platform.store.session():
            together.wait(60)
            try:
                cron.run(flow.platform, app, entry, ALICE)
            except cron.StillRuns as error:
                refused.append(error.message)

    threads = [threading.Thread(target=by_hand) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert refused == ["tick still runs as cron.1."] * 3
    assert len(runs(flow)) == 1


def test_events_tell_runs_that_end_otherwise_than_before(flow: Flow) -> None:
    push(flow, {"command": "exit $CODE"})

    for code in ("0", "5", "5", "0"):
        deploy.set_config(flow.platform, flow.app, {"CODE": code}, ALICE, Output())
        look(flow)
        ended(flow)

    told = [(event.text, event.result) for event in Event.select().where(Event.action == "cron")]
    assert told == [("tick: cron.2 exited with 5", "failed"), ("tick: cron.4 exited with 0", "ok")]


def test_an_entry_of_an_app_that_is_destroyed_is_forgotten(flow: Flow) -> None:
    push(flow, {"command": "exec sleep 600"})
    look(flow)

    apps.destroy(flow.platform, flow.app)

    assert Schedule.select().count() == 0
    assert flow.platform.runtime.running() == []


def test_states_tell_the_last_run_and_the_next(flow: Flow) -> None:
    push(flow, {"command": "exit 4", "timezone": "Asia/Tokyo"}, {"command": "true", "name": "off", "maintenance": True})
    look(flow, minutes=5)
    assert ended(flow) == [4]

    tick, off = cron.states(flow.app)

    assert tick.last is not None
    assert tick.last.exit_code == 4
    assert tick.next_at is not None
    assert tick.next_at > time.time() + 240  # what was decided on does not come again
    assert tick.missed.startswith("tick missed 4 runs, from ")
    assert tick.missed.endswith(" Asia/Tokyo: the server was stopped")
    assert (off.suspended_by, off.next_at, off.missed, off.last) == ("app.json", None, "", None)


def test_a_name_that_is_not_there_finds_the_nearest(flow: Flow) -> None:
    push(flow, {"command": "true"})

    with pytest.raises(NotFound) as error:
        cron.find(flow.app, "tic")

    assert error.value.hint == "Did you mean tick?"


def test_artifacts_of_before_have_no_entries(flow: Flow) -> None:
    flow.deploy(JOB)
    release = flow.live
    fields = json.loads(release.artifact)
    del fields["cron"]
    release.artifact = json.dumps(fields)
    release.save()

    assert cron.entries(App.get()) == ()
