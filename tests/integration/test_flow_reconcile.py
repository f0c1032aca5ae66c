"""What reconcile mends and what it leaves alone: crashes, drains, clocks, names; and apps that come and go."""

from __future__ import annotations

import logging
import re
import socket
import sqlite3
import threading
import time
from dataclasses import replace

import flow as flows
import pytest
from flow import ALICE, WEB, WORKER, Flow
from instances import until

from gitpaas import apps, deploy, linux, locks
from gitpaas.builds import queue
from gitpaas.config import Config
from gitpaas.errors import Conflict, EngineFailed, RuntimeFailed
from gitpaas.git import repository
from gitpaas.instances import limiting, sights, starting
from gitpaas.instances.plan import Missing
from gitpaas.instances.reconcile import Reconciler
from gitpaas.platform import Platform
from gitpaas.store import App, Event


def connect(address: str | None) -> socket.socket:
    assert address is not None
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(b"GET /stay HTTP/1.1\r\n\r\n")
    return connection


def test_crashed_instance_is_started_again_and_routed(flow: Flow) -> None:
    flow.deploy()
    (before,) = flow.running()
    flow.crash(before)
    flow.reconcile(lambda: flow.routed_releases() == {1})
    assert "web.1 exited with 137; starting again" in flow.told[0]
    assert flow.running()[0].restarts == 1


def test_rounds_come_sooner_while_somebody_starts(flow: Flow) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gate:
        first = threading.Thread(target=lambda: gate.accept()[0].close())
        first.start()
        wait = f"socket.create_connection(('127.0.0.1', {gate.getsockname()[1]})).recv(1)"
        flow.deploy(first_py=f"import socket\n{wait}\n")
        first.join()
        flow.reconcile()
        quiet = flow.reconciler.rest
        flow.crash(flow.running()[0])
        flow.reconcile(lambda: len(flow.running()) == 1)
        assert flow.route == "crashed"
        assert flow.reconciler.rest < quiet
        gate.accept()[0].close()
        flow.reconcile(lambda: flow.routed_releases() == {1})
        assert flow.reconciler.rest == quiet


def events(flow: Flow) -> list[str]:
    """What was kept as news of the platform's own."""
    kinds = Event.action.in_(("reconcile", "crash-loop", "out-of-memory"))
    return [event.text for event in Event.select().where(kinds).order_by(Event.id)]


def test_crash_and_recovery_are_news_once(flow: Flow) -> None:
    flow.deploy()
    flow.crash(flow.running()[0])
    flow.reconcile(lambda: flow.routed_releases() == {1})
    for _ in range(5):
        flow.reconcile()
    assert events(flow) == ["web.1 exited with 137; starting again", "web.1 v1 answers; requests go to it"]


def test_crash_loop_is_news_when_it_begins_and_when_it_is_one(flow: Flow) -> None:
    flow.deploy(procfile=WEB + "worker: exit 9\n")
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    flow.reconcile(lambda: len(flow.told) >= 4)
    assert events(flow) == [
        "worker.1 exited with 9; starting again",
        "worker.1 keeps crashing: it exited with 9, 3 times in a row",
    ]


def test_crash_loop_is_over_when_it_has_run_for_a_while(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy(procfile=WEB + "worker: exit 9\n")
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    flow.reconcile(lambda: any("keeps crashing" in text for text in events(flow)))
    told = events(flow)
    assert flow.push(flow.commit(procfile=WEB + WORKER)) == 0
    flow.reconcile(lambda: flow.labels() == ["web.1 v2", "worker.1 v2"])
    assert events(flow) == told, "it may crash again at once"

    monkeypatch.setattr("gitpaas.instances.loops.STEADY", 0.0)
    another_server(flow)
    flow.reconcile(lambda: events(flow) != told)
    flow.reconcile()
    another_server(flow)
    flow.reconcile()
    assert events(flow) == [*told, "worker.1 v2 crashes no more"]
    assert flow.told[-1] == "worker.1 v2 crashes no more"


def test_crash_loop_is_over_when_it_is_told_to_stop(flow: Flow) -> None:
    flow.deploy(procfile=WEB + "worker: exit 9\n")
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    flow.reconcile(lambda: any("keeps crashing" in text for text in events(flow)))
    another_server(flow)
    flow.reconcile()
    assert sum("keeps crashing" in text for text in events(flow)) == 1
    deploy.stop(flow.platform, flow.app, flow.out, "worker")
    flow.reconcile()
    assert events(flow)[-1] == "worker.1 is not to run any more, and so crashes no more"


@pytest.mark.needs("sandbox")
def test_want_of_memory_is_an_event(flow: Flow) -> None:
    if linux.cgroup_version() is None:
        pytest.skip("needs cgroups, which this machine does not have")
    greedy = "worker: exec python3 -I -S -c 'data = bytearray(99000000)'\n"
    flow.deploy(procfile=WEB + greedy)
    limiting.limit(flow.platform, flow.app, "worker", {"memory": "20m"}, flow.out)
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    flow.reconcile(lambda: len(events(flow)) == 3)
    assert events(flow) == [
        "worker.1 v1 ran out of memory",
        "worker.1 v1 ran out of memory",
        "worker.1 keeps crashing: it ran out of memory, 3 times in a row",
    ]
    assert [i.last_exit.oom for i in flow.platform.runtime.running("hello") if i.last_exit] == [True]


def another_server(flow: Flow) -> None:
    flow.reconciler = type(flow.reconciler)(flow.platform, lambda app, text: flow.told.append(text))


def test_deploys_and_rounds_without_trouble_are_no_news(flow: Flow) -> None:
    flow.deploy()
    flow.reconcile()
    deploy.scale(flow.platform, flow.app, {"web": 2}, flow.out)
    flow.deploy()
    flow.reconcile(lambda: flow.labels() == ["web.1 v2", "web.2 v2"])
    assert (events(flow), flow.told) == ([], [])


def test_instance_removed_by_hand_is_started_again_at_once(flow: Flow) -> None:
    flow.deploy()
    flow.reconcile()
    flow.platform.runtime.stop(flow.running()[0], grace=0)
    flow.reconcile()
    assert flow.labels() == ["web.1 v1"]
    flow.reconcile(lambda: flow.routed_releases() == {1})
    assert events(flow) == ["web.1 was missing; started again", "web.1 v1 answers; requests go to it"]


def test_requests_no_longer_go_to_the_dead_while_another_is_started(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.deploy()
    deploy.scale(flow.platform, flow.app, {"web": 2}, flow.out)
    dead, alive = sorted(flow.running(), key=lambda instance: instance.number)
    start, routes = flow.platform.runtime.start, []

    def slow(spec: object) -> object:
        routes.append(flow.route)
        return start(spec)

    monkeypatch.setattr(flow.platform.runtime, "start", slow)
    flow.crash(dead)
    flow.reconcile(lambda: len(flow.route) == 2)
    assert routes == [(alive.address,)]


def test_what_cannot_be_started_is_told_once_and_not_tried_every_second(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.deploy()
    flow.platform.runtime.stop(flow.running()[0], grace=0)
    tries: list[float] = []

    def refuse(spec: object) -> None:
        tries.append(time.monotonic())
        raise RuntimeFailed("no space left on device")

    with monkeypatch.context() as full:
        full.setattr(flow.platform.runtime, "start", refuse)
        until(lambda: flow.reconcile() or len(tries) == 3)
        assert tries[1] - tries[0] >= 1
        assert tries[2] - tries[1] >= 2
        assert flow.told == events(flow) == ["web.1 cannot be started: no space left on device"]
    flow.reconcile(lambda: flow.routed_releases() == {1})


def test_app_is_left_alone_while_the_engine_is_silent(flow: Flow) -> None:
    flows.with_images(flow)
    flow.deploy()
    flow.reconcile()
    before = flow.running(), flow.route
    flow.platform.runtime.silent = True
    for _ in range(3):
        flow.reconcile()
    flow.platform.runtime.silent = False
    assert (flow.running(), flow.route) == before
    assert [text.partition(";")[0] for text in events(flow)] == ["Docker Engine does not answer"]
    flow.reconcile()
    assert events(flow)[1:] == ["Docker Engine answers again"]
    assert flow.told == []


def test_app_is_not_half_destroyed_while_the_engine_is_silent(flow: Flow) -> None:
    images = flows.with_images(flow)
    flow.deploy()
    flow.platform.runtime.silent = True
    with pytest.raises(EngineFailed):
        apps.destroy(flow.platform, flow.app)
    flow.platform.runtime.silent = False
    assert flow.routed_releases() == {1}
    apps.destroy(flow.platform, flow.app)
    assert images.store.names("hello") == {}


def test_plain_processes_are_mended_while_the_engine_is_silent(flow: Flow) -> None:
    flow.deploy()
    flows.with_images(flow)
    (before,) = flow.running()
    flow.crash(before)
    flow.platform.runtime.silent = True

    def is_mended() -> bool:
        """By another instance, which may well have got the same port."""
        flow.reconciler.run_once()
        instances = flow.platform.runtime.survey("hello").instances
        return [i.state for i in instances if i.id != before.id] == ["running"] and flow.route == (
            instances[-1].address,
        )

    until(is_mended)
    assert [i.state for i in flow.platform.runtime.survey("hello").instances] == ["running"]
    flow.platform.runtime.silent = False


def test_idle_round_asks_the_database_for_nothing(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    flow.deploy()
    deploy.scale(flow.platform, flow.app, {"web": 3}, flow.out)
    flow.reconcile()
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "peewee"):
        flow.reconcile()
    assert not caplog.records, [record.getMessage() for record in caplog.records]


def test_what_another_process_has_changed_is_seen_in_the_next_round(flow: Flow) -> None:
    flow.deploy()
    flow.reconcile()
    with sqlite3.connect(flow.config.database) as other:
        other.execute("UPDATE app SET stopped = 1")
    other.close()
    flow.reconcile()
    assert flow.route == "stopped"
    App.update(stopped=False).execute()
    flow.reconcile(lambda: flow.routed_releases() == {1})


def test_page_of_a_stopped_app_takes_no_thought_of_who_would_answer(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.deploy()
    deploy.stop(flow.platform, flow.app, flow.out)
    flow.reconcile(lambda: flow.labels() == [])
    flow.platform.router.forget(flow.config.host("hello"))  # as after a restored backup, of all apps at once
    asked: list[object] = []
    monkeypatch.setattr(starting, "health_check", lambda *given: asked.append(given))

    flow.reconcile(lambda: flow.route == "stopped")

    assert asked == []


def test_what_is_as_it_was_is_not_thought_through_again(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()
    deploy.scale(flow.platform, flow.app, {"web": 2}, flow.out)
    flow.reconcile()
    looked_at: list[int | None] = []
    plan = sights.plan

    def watched(release: int | None, *rest: object) -> object:
        looked_at.append(release)
        return plan(release, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sights, "plan", watched)
    for _ in range(3):
        flow.reconcile()
    assert looked_at == []
    flow.crash(flow.running()[0])
    flow.reconcile()
    assert looked_at


@pytest.mark.parametrize("damage", ["route", "instance", "record"])
def test_what_is_damaged_by_hand_after_many_quiet_rounds_is_mended(flow: Flow, damage: str) -> None:
    flow.deploy()
    for _ in range(3):
        flow.reconcile()
    (before,) = flow.running()
    if damage == "route":
        for file in (flow.config.routes / flow.config.host("hello") / "to").iterdir():
            file.unlink()
    elif damage == "instance":
        flow.crash(before)
    else:
        flow.platform.runtime.stop(before, grace=0)
    flow.reconcile(lambda: flow.routed_releases() == {1} and flow.labels() == ["web.1 v1"])


def test_crash_loop_is_noticed_at_once_though_the_next_start_has_to_wait(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.deploy(procfile=WEB + "worker: sleep 0.2; exit 9\n")
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    flow.reconcile(lambda: len(flow.told) == 2)
    # So long that it is not over before a busy machine has told of it.
    monkeypatch.setattr(Missing, "wait", property(lambda missing: 1000.0 if missing.restarts > 2 else 0.0))
    flow.reconcile(lambda: len(flow.told) == 3)
    told = re.fullmatch(r"worker\.1 exited with 9, 3 times in a row; starting again in (\d+) s", flow.told[2])
    assert told
    assert 800 < int(told[1]) <= 1000


@pytest.mark.parametrize("hours", [-5, 5])
def test_clock_that_is_set_delays_no_restart(flow: Flow, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    flow.deploy(first_py="import os; os.path.exists('/tmp/never')")
    for _ in range(2):
        flow.crash(flow.running()[0])
        flow.reconcile(lambda: flow.routed_releases() == {1})
    real = time.time
    monkeypatch.setattr("gitpaas.instances.reconcile.time.time", lambda: real() + hours * 3600)
    flow.crash(flow.running()[0])
    flow.reconcile(lambda: flow.routed_releases() == {1})


def test_surplus_instance_keeps_its_open_connection_until_the_drain_is_over(flow: Flow) -> None:
    flow.deploy()
    (old,) = flow.running()
    with connect(old.address):
        flow.deploy()
        began = time.monotonic()
        flow.reconcile(lambda: flow.labels() == ["web.1 v2"])
        assert time.monotonic() - began > 2.5


def test_surplus_instance_that_was_wanted_again_has_a_full_drain_the_next_time(flow: Flow) -> None:
    flow.deploy()
    (old,) = flow.running()
    with connect(old.address):
        deploy.stop(flow.platform, flow.app, flow.out)
        flow.reconcile()
        deploy.start(flow.platform, flow.app, flow.out)
        flow.reconcile()
        assert flow.labels() == ["web.1 v1"]
        time.sleep(3)
        flow.deploy()
        flow.reconcile()
        time.sleep(0.5)
        assert flow.labels() == ["web.1 v1", "web.1 v2"]


def test_instance_that_is_being_stopped_is_replaced_when_wanted_again(config: Config) -> None:
    with flows.fresh(config, stop_grace=600) as flow:
        flow.deploy(first_py="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        (old,) = flow.running()
        deploy.stop(flow.platform, flow.app, flow.out)
        flow.reconcile(lambda: flow.reconciler._stopping)
        App.update(stopped=False).execute()
        flow.reconcile(lambda: isinstance(flow.route, tuple))
        assert flow.reconciler._stopping == {old.id}
        assert old.address not in flow.route
        flow.crash(old)


def test_worker_that_cannot_be_started_does_not_keep_the_web_from_being_routed(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.deploy(procfile=WEB + WORKER)
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    start = flow.platform.runtime.start

    def refuse(spec: object) -> object:
        if spec.process == "worker":  # type: ignore[attr-defined]
            raise RuntimeFailed("no")
        return start(spec)

    for instance in flow.running():
        flow.crash(instance)
    monkeypatch.setattr(flow.platform.runtime, "start", refuse)
    flow.reconcile(lambda: flow.routed_releases() == {1})


def test_base_domain_that_changes_moves_all_routes(flow: Flow) -> None:
    flow.deploy()
    moved = Platform(
        replace(flow.config, base_domain="example.com"),
        flow.platform.store,
        flow.platform.runtime,
        flow.platform.router,
    )
    Reconciler(moved, lambda *_: None).run_once()
    assert list(flow.platform.router.routes()) == ["hello.example.com"]
    assert flow.platform.router.routes()["hello.example.com"] == (flow.running()[0].address,)


def test_server_that_starts_anew_finds_everything_as_it_is(flow: Flow) -> None:
    flow.deploy()
    before = flow.running(), flow.route
    Reconciler(flow.platform, lambda *_: pytest.fail("told")).run_once()
    assert (flow.running(), flow.route) == before


def test_idle_round_over_many_apps_asks_no_more_of_the_database(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(100):
        App.create(name=f"app-{number}", created_by="alice")
        flow.platform.router.show(flow.config.host(f"app-{number}"), "empty")
    flow.reconcile()
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "peewee"):
        flow.reconcile()
    assert not caplog.records, [record.getMessage() for record in caplog.records]


def test_app_made_again_right_after_its_end_keeps_its_files(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy(first_py="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    stop = flow.platform.runtime.stop

    def made_again(instance: object, grace: float) -> None:
        stop(instance, grace)
        with flow.platform.store.session():
            apps.for_push(flow.platform, "hello", ALICE)

    monkeypatch.setattr(flow.platform.runtime, "stop", made_again)
    apps.destroy(flow.platform, flow.app)
    monkeypatch.undo()
    assert flow.deploy().number == 1
    assert [path.name for path in flow.config.repos.iterdir()] == ["hello.git"]


def test_app_whose_maker_was_killed_gets_its_repository_with_the_push(flow: Flow) -> None:
    App.create(name="half", created_by="alice")
    apps.for_push(flow.platform, "half", ALICE)
    assert repository.read_ref(flow.config.repository("half"), "refs/heads/main") is None
    assert (flow.config.repository("half") / "hooks" / "post-receive").exists()


def test_app_with_a_build_under_way_is_not_destroyed(flow: Flow) -> None:
    with queue.ticket(flow.platform, flow.app, flow.commit(), [], ALICE) as build:
        with pytest.raises(Conflict, match=f"Build {build.id}"):
            apps.destroy(flow.platform, flow.app)
        queue.finish(flow.platform, build, "failed")
    apps.destroy(flow.platform, flow.app)
    assert not App.select().exists()


def test_asking_whether_a_lock_is_held_disturbs_nobody(flow: Flow) -> None:
    path = flow.config.locks / "some"
    with locks.held(path):
        pass
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(locks.is_held(path) for _ in range(300))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(answers)
    assert not locks.is_held(path.with_name("never made"))
    assert not path.with_name("never made").exists()


def test_lock_that_somebody_only_asks_after_is_had_all_the_same(flow: Flow) -> None:
    path, done = flow.config.locks / "some", threading.Event()
    with locks.held(path):
        pass

    def ask() -> None:
        while not done.is_set():
            locks.is_held(path)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            with locks.held(path, wait=False, patience=60) as mine:
                assert mine
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_how_it_ended_is_known_while_its_successor_runs(flow: Flow) -> None:
    flow.deploy()
    flow.reconcile()
    (first,) = flow.running()
    flow.crash(first)
    flow.reconcile(lambda: flow.labels() == ["web.1 v1"])
    (second,) = flow.running()
    assert second.last_exit is not None
    assert (second.last_exit.code, second.last_exit.oom, second.restarts) == (137, False, 1)
