"""Limits of an app's instances, changed while it runs."""

from __future__ import annotations

import pytest
from flow import ALICE, WEB, WORKER, Flow

from gitpaas import deploy, oneoffs
from gitpaas.errors import Unhealthy, UsageError
from gitpaas.instances import limiting
from gitpaas.store import App
from gitpaas.values import InstanceSpec, Limits

MB = 1024 * 1024


@pytest.fixture
def started(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Limits]]:
    """What was started with which limits, the release phase too."""
    seen: list[tuple[str, Limits]] = []
    runtime = flow.platform.runtime

    def noted(function: object) -> object:
        def call(spec: InstanceSpec, *more: object, **named: object) -> object:
            seen.append((spec.process, spec.limits))
            return function(spec, *more, **named)  # type: ignore[operator]

        return call

    for name in ("start", "run"):
        monkeypatch.setattr(runtime, name, noted(getattr(runtime, name)))
    return seen


def limit(flow: Flow, process: str = "", *, restart: bool = True, **texts: str) -> None:
    limiting.limit(flow.platform, flow.app, process, texts, flow.out, restart=restart)


def test_what_runs_is_replaced_at_once_and_only_what_it_concerns(flow: Flow, started: list[tuple[str, Limits]]) -> None:
    flow.deploy(WEB + WORKER)
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    before = {i.label: i.id for i in flow.running()}
    flow.lines.data.clear()
    started.clear()

    limit(flow, "web", memory="64m")

    assert "-----> web: memory 64 MB, CPUs without limit, processes 256\n" in flow.lines.text
    assert "-----> Replacing the instances of web by fresh ones, without downtime\n" in flow.lines.text
    assert [(process, bounds.memory) for process, bounds in started] == [("web", 64 * MB)]
    flow.reconcile(lambda: flow.labels() == ["web.1 v1", "worker.1 v1"])
    after = {i.label: i.id for i in flow.running()}
    assert (after["web.1"] == before["web.1"], after["worker.1"] == before["worker.1"]) == (False, True)
    assert [i.address for i in flow.running() if i.address] == list(flow.route)


def test_later_releases_and_their_release_phase_have_them_too(flow: Flow, started: list[tuple[str, Limits]]) -> None:
    flow.deploy()
    limit(flow, memory="64m")
    limit(flow, "release", memory="96m")
    started.clear()
    flow.deploy(WEB + "release: true\n")
    assert [(process, bounds.memory) for process, bounds in started] == [("release", 96 * MB), ("web", 64 * MB)]
    flow.reconcile(lambda: flow.labels() == ["web.1 v2"])
    flow.crash(flow.running()[0])
    flow.reconcile(lambda: flow.labels() == ["web.1 v2"])
    assert started[-1][1].memory == 64 * MB


def test_one_off_commands_have_them_too(flow: Flow, started: list[tuple[str, Limits]]) -> None:
    flow.deploy()
    limit(flow, memory="64m")
    oneoffs.start(flow.platform, flow.app, "true", actor=ALICE)
    limit(flow, "run", memory="96m")
    oneoffs.start(flow.platform, flow.app, "true", actor=ALICE)
    oneoffs.start(flow.platform, flow.app, "true", kind=oneoffs.CRON)
    assert [(name, bounds.memory) for name, bounds in started if name != "web"] == [
        ("run", 64 * MB),
        ("run", 96 * MB),
        ("cron", 64 * MB),
    ]


def test_all_others_and_what_is_said_of_a_type(flow: Flow, started: list[tuple[str, Limits]]) -> None:
    flow.deploy(WEB + WORKER)
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    limit(flow, "web", memory="64m")
    started.clear()
    limit(flow, memory="96m")
    assert [(process, bounds.memory) for process, bounds in started] == [("worker", 96 * MB)]


def test_nothing_is_restarted_for_what_is_as_it_was(flow: Flow, started: list[tuple[str, Limits]]) -> None:
    flow.deploy()
    limit(flow, "web", memory="64m")
    started.clear()
    limit(flow, "web", memory="65536k")
    limit(flow, "run", memory="96m")
    limit(flow, "web", restart=False, memory="80m")
    assert started == []
    assert flow.lines.text.endswith("-----> From their next start on\n")
    deploy.restart(flow.platform, flow.app, flow.out)
    assert [bounds.memory for _, bounds in started] == [80 * MB]


def test_limits_that_it_does_not_start_with_change_nothing(flow: Flow) -> None:
    flow.deploy(first_py="import os, resource\nif os.environ.get('GREEDY'):\n    data = bytearray(100 * 1024 * 1024)")
    deploy.set_config(flow.platform, flow.app, {"GREEDY": "1"}, ALICE, flow.out)
    flow.reconcile(lambda: flow.labels() == ["web.1 v2"])
    route = flow.route
    with pytest.raises(Unhealthy) as caught:
        limit(flow, "web", memory="40m")
    assert caught.value.hint == "The limits are as before, and what ran runs on."
    assert App.get().resources == "{}"
    assert (flow.route, flow.labels()) == (route, ["web.1 v2"])


def test_an_unknown_type_and_an_app_without_a_release(flow: Flow) -> None:
    limit(flow, memory="64m")
    with pytest.raises(UsageError, match="no process type 'wob'"):
        limit(flow, "wob", memory="64m")
    flow.deploy()
    assert App.get().resources == '{"": {"memory": 67108864}}'


def test_what_is_stopped_is_left_alone(flow: Flow, started: list[tuple[str, Limits]]) -> None:
    flow.deploy()
    deploy.stop(flow.platform, flow.app, flow.out)
    flow.reconcile(lambda: flow.labels() == [])
    started.clear()
    limit(flow, "web", memory="64m")
    assert started == []
    deploy.start(flow.platform, flow.app, flow.out)
    assert [bounds.memory for _, bounds in started] == [64 * MB]
