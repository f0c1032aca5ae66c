"""Process types and single instances that are stopped, started and restarted while the rest of the app runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flow import WEB, WORKER, Flow

from gitpaas import deploy
from gitpaas.errors import Conflict, Unhealthy, UsageError
from gitpaas.store import App

BOTH = WEB + WORKER


@pytest.fixture
def hello(flow: Flow) -> Flow:
    """v1 with two web instances and a worker."""
    flow.deploy(BOTH)
    deploy.scale(flow.platform, flow.app, {"web": 2, "worker": 1}, flow.out)
    flow.reconcile(lambda: flow.labels() == ["web.1 v1", "web.2 v1", "worker.1 v1"])
    return flow


def stop(flow: Flow, name: str | None = None) -> None:
    deploy.stop(flow.platform, flow.app, flow.out, name)


def start(flow: Flow, name: str | None = None) -> None:
    deploy.start(flow.platform, flow.app, flow.out, name)


def address(flow: Flow, label: str) -> str | None:
    return next(i.address for i in flow.running() if i.label == label)


def test_one_instance_stops_while_the_other_serves(hello: Flow) -> None:
    second = address(hello, "web.2")
    stop(hello, "web.1")
    assert hello.route == (second,), "from that moment on"
    hello.reconcile(lambda: hello.labels() == ["web.2 v1", "worker.1 v1"])
    assert hello.route == (second,)
    start(hello, "web.1")
    assert hello.labels() == ["web.1 v1", "web.2 v1", "worker.1 v1"]
    assert len(hello.route) == 2


def test_what_is_held_stays_so_through_a_deploy_a_scale_and_another_server(hello: Flow) -> None:
    stop(hello, "worker")
    stop(hello, "web.2")
    hello.reconcile(lambda: hello.labels() == ["web.1 v1"])
    hello.lines.data.clear()
    hello.deploy(BOTH)
    assert "web.2, worker stay stopped; to start: ssh paas ps:start hello web.2" in hello.lines.text
    deploy.scale(hello.platform, hello.app, {"worker": 3}, hello.out)
    assert " !     worker was told to stop and stays so; to start: ssh paas ps:start hello worker" in hello.lines.text
    type(hello.reconciler)(hello.platform, lambda app, text: None).run_once()
    hello.reconcile(lambda: hello.labels() == ["web.1 v2"])
    start(hello)
    assert hello.labels() == ["web.1 v2", "web.2 v2", "worker.1 v2", "worker.2 v2", "worker.3 v2"]


def test_scaled_down_and_up_again_an_instance_is_not_held_any_more(hello: Flow) -> None:
    stop(hello, "web.2")
    deploy.scale(hello.platform, hello.app, {"web": 1}, hello.out)
    deploy.scale(hello.platform, hello.app, {"web": 2}, hello.out)
    assert "web.2 v1" in hello.labels()


def test_an_app_whose_only_web_is_held_says_stopped(flow: Flow) -> None:
    flow.deploy(BOTH)
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    stop(flow, "web.1")
    assert flow.route == "stopped"
    flow.reconcile(lambda: flow.labels() == ["worker.1 v1"])
    assert flow.route == "stopped"
    flow.deploy(BOTH)
    assert flow.route == "stopped"
    start(flow, "web")
    assert flow.routed_releases() == {2}


def test_one_that_is_told_to_stop_does_not_serve_on_in_the_place_of_one_that_crashed(hello: Flow) -> None:
    first, second = (next(i for i in hello.running() if i.label == label) for label in ("web.1", "web.2"))
    hello.crash(second)
    stop(hello, "web.1")
    hello.reconcile(lambda: first.id not in {i.id for i in hello.running()})
    hello.reconcile(lambda: hello.route == (address(hello, "web.2"),))


def test_stopping_one_neither_starts_nor_awaits_another(hello: Flow) -> None:
    hello.crash(next(i for i in hello.running() if i.label == "web.2"))
    hello.lines.data.clear()
    stop(hello, "worker")
    assert hello.lines.text == "-----> worker of hello stops\n"


def test_restart_of_one_replaces_it_once_the_fresh_one_answers(hello: Flow) -> None:
    before = {i.label: i for i in hello.running()}
    deploy.restart(hello.platform, hello.app, hello.out, "web.1")
    assert "Health check: port open" in hello.lines.text
    assert before["web.1"].id in {i.id for i in hello.running()}, "it ends what it was asked"
    assert before["web.2"].address in hello.route
    assert before["web.1"].address not in hello.route
    assert len(hello.route) == 2
    hello.reconcile(lambda: hello.labels() == ["web.1 v1", "web.2 v1", "worker.1 v1"])
    after = {i.label: i.id for i in hello.running()}
    assert [after[label] == before[label].id for label in ("web.1", "web.2", "worker.1")] == [False, True, True]
    assert set(hello.route) == {address(hello, "web.1"), address(hello, "web.2")}


def test_restart_of_one_that_does_not_answer_leaves_the_old_one_serving(
    hello: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, really = hello.route, hello.platform.runtime.start
    monkeypatch.setattr(hello.platform.runtime, "start", lambda spec: really(replace(spec, command="exit 3")))
    with pytest.raises(Unhealthy):
        deploy.restart(hello.platform, hello.app, hello.out, "web.2")
    assert hello.route == before
    assert hello.labels() == ["web.1 v1", "web.2 v1", "worker.1 v1"]


def test_restart_of_one_worker(hello: Flow) -> None:
    deploy.scale(hello.platform, hello.app, {"worker": 2}, hello.out)
    before = {i.label: i.id for i in hello.running()}
    deploy.restart(hello.platform, hello.app, hello.out, "worker.2")
    hello.reconcile(lambda: len(hello.labels()) == 4)
    after = {i.label: i.id for i in hello.running()}
    assert [label for label in before if before[label] != after[label]] == ["worker.2"]


def test_restart_of_all_leaves_what_is_held(hello: Flow) -> None:
    stop(hello, "web.2")
    hello.reconcile(lambda: "web.2 v1" not in hello.labels())
    deploy.restart(hello.platform, hello.app, hello.out)
    hello.reconcile(lambda: hello.labels() == ["web.1 v1", "worker.1 v1"])
    assert len(hello.route) == 1
    with pytest.raises(Conflict, match=r"web\.2 is stopped"):
        deploy.restart(hello.platform, hello.app, hello.out, "web.2")


def test_what_there_is_not(hello: Flow) -> None:
    for verb in (deploy.stop, deploy.start, deploy.restart):
        with pytest.raises(UsageError, match=r"hello has no instance web\.3"):
            verb(hello.platform, hello.app, hello.out, "web.3")
        with pytest.raises(UsageError, match="hello has no process type 'clock'"):
            verb(hello.platform, hello.app, hello.out, "clock")
    assert (App.get().held, App.get().stopped) == ("[]", False)


def test_a_part_of_a_stopped_app_starts_alone(hello: Flow) -> None:
    stop(hello)
    hello.reconcile(lambda: hello.labels() == [])
    start(hello, "web.2")
    hello.reconcile()
    assert hello.labels() == ["web.2 v1"]
    assert hello.route == (address(hello, "web.2"),)
