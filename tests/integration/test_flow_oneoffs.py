"""One-off commands in the flow: beside the app's own processes, told when they end, and never taken for one of them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
from flow import ALICE, WEB, WORKER, Flow
from instances import Sleeper, output, until

from gitpaas import apps, deploy, logs, oneoffs
from gitpaas.errors import Conflict, NotFound, RuntimeFailed
from gitpaas.instances.reconcile import Reconciler
from gitpaas.logs import Collector
from gitpaas.store import Event, OneOff
from gitpaas.values import Instance, Secret


def over(flow: Flow, one_off: OneOff) -> OneOff:
    """Its row, once it is finished and nothing of it is left."""
    flow.reconcile(lambda: row(one_off).finished_at and not instances(flow))
    return row(one_off)


def row(one_off: OneOff) -> OneOff:
    return OneOff.get_by_id(one_off.id)


def instances(flow: Flow) -> list[Instance]:
    return [instance for instance in flow.platform.runtime.running("hello") if instance.one_off is not None]


def said(flow: Flow, process: str) -> list[str]:
    """The app's log of one source."""
    Collector(flow.config, flow.platform.runtime.survey).collect_once()
    return [logs.parse(line).text for line in logs.tail(flow.config, "hello", 100, logs.Selection(process))]


def test_one_off_that_ends_is_told_and_its_log_is_kept(flow: Flow) -> None:
    flow.deploy()
    one_off = oneoffs.start(
        flow.platform, flow.app, "echo $GREETING $TERM $GITPAAS_PROCESS; exit 7", actor=ALICE,
        env={"GREETING": Secret("hi"), "TERM": "dumb"},
    )  # fmt: skip
    assert oneoffs.label(one_off) == "run.1"
    ended = over(flow, one_off)
    assert (ended.exit_code, ended.error, ended.release, ended.by) == (7, "", 1, "alice")
    assert ended.finished_at >= ended.created_at
    assert said(flow, "run.1") == ["hi dumb run.1"]
    assert said(flow, "gitpaas")[-1] == "run.1 exited with 7"
    event = Event.select().order_by(Event.id.desc()).get()
    assert (event.action, event.text, event.result, event.app) == ("run", "run.1 exited with 7", "failed", "hello")
    assert not flow.config.one_off_lock(one_off.id).exists()


def test_one_offs_are_numbered_by_kind_and_the_last_hundred_are_kept(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oneoffs, "_KEPT", 2)
    flow.deploy()
    names = []
    for kind, schedule in (("cron", "monthly"), *[("cron", "daily")] * 4, ("run", "")):
        one_off = oneoffs.start(flow.platform, flow.app, "true", kind=kind, schedule=schedule)
        names.append(oneoffs.label(one_off))
        over(flow, one_off)
    assert names == ["cron.1", "cron.2", "cron.3", "cron.4", "cron.5", "run.1"]
    assert [oneoffs.label(one) for one in OneOff.select().order_by(OneOff.id)] == [
        "cron.1",
        "cron.4",
        "cron.5",
        "run.1",
    ]
    assert (oneoffs.last(flow.app, "monthly").number, oneoffs.last(flow.app, "daily").number) == (1, 5)
    assert oneoffs.last(flow.app, "never") is None


def test_one_off_is_left_alone_by_whatever_happens_to_the_app(flow: Flow) -> None:
    flow.deploy(WEB + WORKER)
    one_off = oneoffs.start(flow.platform, flow.app, "exec sleep 600", actor=ALICE)
    before = instances(flow)
    flow.deploy(WEB + WORKER + "run: exec sleep 601\n")
    deploy.scale(flow.platform, flow.app, {"web": 2, "worker": 1, "run": 2}, flow.out)
    deploy.restart(flow.platform, flow.app, flow.out)
    flow.reconcile(lambda: flow.labels().count("web.1 v2") == 1 and len(flow.routed_releases()) == 1)
    deploy.stop(flow.platform, flow.app, flow.out)
    flow.reconcile(lambda: flow.labels() == ["run.1 v1"])
    assert instances(flow) == before
    assert row(one_off).finished_at is None
    assert flow.route == "stopped"
    apps.destroy(flow.platform, flow.app)
    assert flow.platform.runtime.running() == []
    flow.reconcile()
    assert OneOff.select().count() == 0


def test_one_off_of_a_stopped_app_runs_all_the_same(flow: Flow) -> None:
    flow.deploy()
    deploy.stop(flow.platform, flow.app, flow.out)
    assert over(flow, oneoffs.start(flow.platform, flow.app, "true")).exit_code == 0


def test_one_off_too_many_is_refused(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oneoffs, "_MOST", 1)
    flow.deploy()
    one_off = oneoffs.start(flow.platform, flow.app, "exec sleep 600")
    with pytest.raises(Conflict, match="run already"):
        oneoffs.start(flow.platform, flow.app, "true")
    oneoffs.stop(flow.platform, one_off, "enough")
    assert over(flow, oneoffs.start(flow.platform, flow.app, "true")).exit_code == 0


def test_one_off_of_an_app_without_a_release_is_refused(flow: Flow) -> None:
    with pytest.raises(NotFound, match="no release yet"):
        oneoffs.start(flow.platform, flow.app, "true")
    assert OneOff.select().count() == 0


def test_one_off_that_cannot_be_started_says_so_in_its_row(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeFailed("no more room")

    flow.deploy()
    monkeypatch.setattr(flow.platform.runtime, "start", refuse)
    with pytest.raises(RuntimeFailed):
        oneoffs.start(flow.platform, flow.app, "true")
    assert [(one.error, one.exit_code) for one in OneOff.select()] == [("no more room", None)]
    assert said(flow, "gitpaas")[-1] == "run.1 ended: no more room"


def test_one_off_that_takes_too_long_is_ended_whole(flow: Flow) -> None:
    flow.deploy()
    sleeper = Sleeper()
    one_off = oneoffs.start(flow.platform, flow.app, f"setsid {sleeper} & exec sleep 600", timeout=6)
    until(lambda: sleeper.is_alive)
    assert over(flow, one_off).error == "it took longer than 6 seconds"
    assert not sleeper.is_alive


def test_one_off_is_ended_by_its_name(flow: Flow) -> None:
    flow.deploy()
    one_off = oneoffs.start(flow.platform, flow.app, "exec sleep 600", actor=ALICE)
    with pytest.raises(NotFound) as refused:
        oneoffs.find(flow.app, "run.2")
    assert refused.value.hint == "These do: run.1."
    oneoffs.stop(flow.platform, oneoffs.find(flow.app, "run.1"), "stopped by alice")
    assert instances(flow) == []
    assert (row(one_off).error, row(one_off).finished_at is None) == ("stopped by alice", False)
    oneoffs.stop(flow.platform, one_off, "again")
    assert said(flow, "gitpaas") == ["run.1 ended: stopped by alice"]


def test_one_off_outlives_the_server_and_is_found_again(flow: Flow) -> None:
    flow.deploy()
    one_off = oneoffs.start(flow.platform, flow.app, "echo up; read -r line </dev/null; exec sleep 600")
    Reconciler(flow.platform, lambda *_: None).run_once()
    assert row(one_off).finished_at is None
    (instance,) = instances(flow)
    output(instance, "up")
    pid = (flow.config.run / "instances" / f"{instance.id}.pid").read_text().split()[0]
    os.kill(int(pid), signal.SIGTERM)
    until(lambda: instances(flow)[0].state == "exited")
    flow.reconciler = Reconciler(flow.platform, lambda *_: None)
    assert over(flow, one_off).exit_code == 143


def test_one_off_that_the_machine_took_along_is_told_as_lost(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()
    one_off = oneoffs.start(flow.platform, flow.app, "exec sleep 600")
    runtime = flow.platform.runtime
    for instance in instances(flow):
        runtime.stop(instance, grace=0)
    ended = over(flow, one_off)
    assert (ended.exit_code, ended.error) == (None, "nobody saw how it ended")


def test_one_off_that_is_being_started_is_not_taken_for_lost(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()
    start = flow.platform.runtime.start

    def slowly(spec: object) -> Instance:
        flow.reconcile()
        made = start(spec)  # type: ignore[arg-type]
        flow.reconcile()
        return made

    monkeypatch.setattr(flow.platform.runtime, "start", slowly)
    one_off = oneoffs.start(flow.platform, flow.app, "exit 3")
    assert over(flow, one_off).exit_code == 3


def test_one_off_whose_engine_is_silent_is_left_alone(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()
    one_off = oneoffs.start(flow.platform, flow.app, "exec sleep 600")
    survey = flow.platform.runtime.survey
    monkeypatch.setattr(
        flow.platform.runtime, "survey", lambda app=None: replace(survey(app), instances=(), unseen=frozenset({"slug"}))
    )
    flow.reconcile()
    assert row(one_off).finished_at is None


def test_instance_of_a_command_that_nobody_knows_is_ended(flow: Flow) -> None:
    flow.deploy()
    one_off = oneoffs.start(flow.platform, flow.app, "exec sleep 600")
    OneOff.delete().where(OneOff.id == one_off.id).execute()
    flow.reconcile(lambda: not instances(flow))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["ls -l | wc -l"], "ls -l | wc -l"),
        (["python", "-c", "print(1)"], "python -c 'print(1)'"),
        (["worker"], "exec sleep 600"),
        (["worker", "a b"], "exec sleep 600 'a b'"),
    ],
)
def test_words_of_people_become_a_command_line(flow: Flow, words: list[str], line: str) -> None:
    flow.deploy(WEB + WORKER)
    assert oneoffs.command_line(flow.app, words) == line


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("python manage.py migrate", "python"),
        ("TOKEN=s3cret A=b ./import --key s3cret", "./import"),
        ("'no end", ""),
        ("A=b", ""),
        ("'rm -rf /tmp/x'", "rm"),
        ("\x1b[31mred", "[31mred"),
    ],
)
def test_of_a_command_line_the_program_alone_is_told(line: str, told: str) -> None:
    assert oneoffs.program(line) == told
