"""Roll-outs a few instances at a time: never fewer that serve than wanted, never more that run than allowed, nothing
failed under load; a batch that fails, or is killed at any moment, leaves the app whole."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flow as flows
import pytest
from bench.load import Load
from flow import MAIN, WEB, Flow
from instances import until
from ports import free_port

from gitpaas import deploy
from gitpaas.config import Config
from gitpaas.errors import EngineFailed, Unhealthy
from gitpaas.instances import limiting, rolling
from gitpaas.router.process import CaddyProcess
from gitpaas.store import App, Build, Release
from gitpaas.values import Instance

THREE = ["web.1", "web.2", "web.3"]
FAILS_AT = "import os; assert os.environ['GITPAAS_PROCESS'] != 'web.{}'"


@pytest.fixture
def flow(config: Config) -> Iterator[Flow]:
    with flows.fresh(config, max_surge="1", drain_timeout=2) as made:
        yield made


@pytest.fixture
def three(flow: Flow) -> Flow:
    """v1 with three web instances, all routed."""
    flow.deploy()
    deploy.scale(flow.platform, flow.app, {"web": 3}, flow.out)
    assert flow.labels() == [f"{label} v1" for label in THREE]
    return flow


def are(release: int) -> list[str]:
    return [f"{label} v{release}" for label in THREE]


class Watch:
    """How many run and how many of them serve, looked at whenever something has changed."""

    def __init__(self, flow: Flow, process: str = "web") -> None:
        self.most, self.least = 0, 99
        self._flow, self._process = flow, process

    def look(self) -> None:
        route, running = None, self._running()
        while route != (now := self._flow.route):  # another thread may have switched since those were listed
            route, running = now, self._running()
        self.most = max(self.most, len(running))
        self.least = min(self.least, len([i for i in running if i.address in (route or ())]))

    def _running(self) -> list[Instance]:
        return [i for i in self._flow.running() if i.process == self._process]

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*given: Any, **more: Any) -> Any:
            result = function(*given, **more)
            self.look()
            return result

        return watched


@pytest.fixture
def watch(three: Flow, monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch(three)
    for thing, name in ((three.platform.runtime, "start"), (three.platform.runtime, "stop"), (rolling, "point")):
        monkeypatch.setattr(thing, name, watch.after(getattr(thing, name)))
    return watch


@contextmanager
def reconciling(flow: Flow) -> Iterator[None]:
    """A server's rounds meanwhile, without a pause."""
    stopping = threading.Event()

    def rounds() -> None:
        while not stopping.wait(0.01):
            flow.reconciler.run_once()

    thread = threading.Thread(target=rounds)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def is_whole(flow: Flow, release: int) -> None:
    """What is intended runs and serves, all of it and nothing else; nothing is left of what was under way."""
    flow.reconcile(lambda: flow.labels() == are(release) and len(flow.route) == 3)
    assert flow.routed_releases() == {flow.app.release} == {release}
    flow.reconcile(lambda: not Build.select().where(Build.finished_at.is_null()).exists())
    assert not Release.select().where(Release.status == "pending").exists()
    assert (flow.ref(MAIN), flow.held()) == (flow.live.commit, "")


def test_one_by_one(three: Flow, watch: Watch) -> None:
    assert three.push(three.commit()) == 0, three.lines.text

    assert (watch.most, watch.least) == (4, 3)
    assert three.routed_releases() == {2}
    assert len(three.route) == 3
    is_whole(three, 2)
    assert watch.most == 4
    lines = three.lines.text.splitlines()
    shown = [line for line in lines if "Starting web." in line or ("Health check" in line and "web." in line)][-6:]
    assert [line.split()[1] for line in shown] == ["Starting", "Health"] * 3


def test_all_at_once_unless_told_otherwise(config: Config) -> None:
    with flows.fresh(config) as flow:
        flow.deploy()
        deploy.scale(flow.platform, flow.app, {"web": 3}, flow.out)
        flow.deploy()
        assert len(flow.labels()) == 6
        assert flow.routed_releases() == {2}


def test_rounds_of_the_server_meanwhile_do_not_get_in_the_way(three: Flow, watch: Watch) -> None:
    with reconciling(three):
        assert three.push(three.commit()) == 0, three.lines.text
        assert three.push(three.commit()) == 0, three.lines.text

    assert (watch.most, watch.least) == (4, 3)
    is_whole(three, 3)
    assert three.told == []


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("with_rounds", [False, True])
def test_batch_that_fails_brings_back_what_was(three: Flow, watch: Watch, number: int, with_rounds: bool) -> None:
    commit = three.commit(first_py=FAILS_AT.format(number))
    with reconciling(three) if with_rounds else until_then():
        assert three.push(commit) == 1

    assert "v1 keeps serving." in three.lines.text
    assert f"Start failed: web.{number} exited with 1 before it answered." in three.lines.text
    assert ("Bringing v1 back" in three.lines.text) == (number > 1)
    assert watch.most == 4
    assert watch.least == 3
    assert (sorted(three.labels()), three.routed_releases()) == (are(1), {1})
    is_whole(three, 1)
    assert three.release(2).status == "failed"


@contextmanager
def until_then() -> Iterator[None]:
    yield


def test_new_instance_that_dies_after_it_was_routed_fails_the_roll_out(
    three: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    point, crashed = rolling.point, []

    def crash_after(platform: Any, app: Any, instances: Any) -> None:
        point(platform, app, instances)
        if not crashed:
            crashed.append(next(i for i in instances if i.release == 2))
            three.crash(crashed[0])

    monkeypatch.setattr(rolling, "point", crash_after)
    assert three.push(three.commit()) == 1
    assert "web.1 exited with 137 after it had answered. v1 keeps serving." in three.lines.text
    is_whole(three, 1)


def test_what_serves_is_mended_while_others_are_replaced(three: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old one dies in the middle: it is started again and serves, until its turn comes."""
    retire, seen = rolling._retire, []

    def crash_first(platform: Any, app: Any, instances: Any) -> None:
        if not seen and instances:
            old = next(i for i in three.running() if i.release == 1 and i.number == 3)
            three.crash(old)
            until(lambda: any(i.restarts and i.address in three.route for i in three.running()))
            seen.append(old)
        retire(platform, app, instances)

    monkeypatch.setattr(rolling, "_retire", crash_first)
    with reconciling(three):
        assert three.push(three.commit()) == 0, three.lines.text
    assert seen
    is_whole(three, 2)


@pytest.mark.parametrize("with_rounds", [False, True])
def test_restart_of_one_beside_two_that_serve(three: Flow, watch: Watch, with_rounds: bool) -> None:
    before = {instance.label: instance.id for instance in three.running()}
    with reconciling(three) if with_rounds else until_then():
        deploy.restart(three.platform, three.app, three.out, "web.2")
    is_whole(three, 1)
    assert (watch.most, watch.least) == (4, 3)
    after = {instance.label: instance.id for instance in three.running()}
    assert [label for label in THREE if before[label] != after[label]] == ["web.2"]


def test_one_by_one_around_one_that_was_told_to_stop(three: Flow, watch: Watch) -> None:
    deploy.stop(three.platform, three.app, three.out, "web.2")
    three.reconcile(lambda: three.labels() == ["web.1 v1", "web.3 v1"])
    watch.most, watch.least = 0, 99
    assert three.push(three.commit()) == 0, three.lines.text
    assert (watch.most, watch.least) == (3, 2)
    three.reconcile(lambda: three.labels() == ["web.1 v2", "web.3 v2"] and len(three.route) == 2)


def test_batch_that_fails_brings_back_what_ran_and_not_what_was_told_to_stop(three: Flow) -> None:
    deploy.stop(three.platform, three.app, three.out, "web.2")
    three.reconcile(lambda: three.labels() == ["web.1 v1", "web.3 v1"])
    assert three.push(three.commit(first_py=FAILS_AT.format(3))) == 1
    assert "Bringing v1 back" in three.lines.text
    three.reconcile(lambda: three.labels() == ["web.1 v1", "web.3 v1"] and len(three.route) == 2)
    assert three.routed_releases() == {1}


def test_limits_that_the_second_does_not_start_with_bring_back_what_ran(
    three: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.deploy(first_py="import os\nif os.environ['GITPAAS_PROCESS'] == 'web.2': data = bytearray(100 * 1024 * 1024)")
    three.reconcile(lambda: three.labels() == are(2))
    started: list[tuple[int, int | None]] = []
    start = three.platform.runtime.start
    monkeypatch.setattr(
        three.platform.runtime,
        "start",
        lambda spec: started.append((spec.number, spec.limits.memory and spec.limits.memory >> 20)) or start(spec),
    )
    with pytest.raises(Unhealthy):
        limiting.limit(three.platform, three.app, "web", {"memory": "40m"}, three.out)
    assert "Bringing v2 back" in three.lines.text
    assert started == [(1, 40), (2, 40), (1, 512)]
    assert App.get().resources == "{}"
    is_whole(three, 2)


def test_restart_is_gradual_too(three: Flow, watch: Watch) -> None:
    before = {instance.id for instance in three.running()}
    with reconciling(three):
        deploy.restart(three.platform, three.app, three.out)
    is_whole(three, 1)
    assert (watch.most, watch.least) == (4, 3)
    assert not before & {instance.id for instance in three.running()}


def test_restart_that_fails_leaves_as_many_as_before(three: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    start, calls = three.platform.runtime.start, []

    def refuse(spec: Any) -> Any:
        calls.append(spec)
        if len(calls) == 2:
            raise EngineFailed("no room")
        return start(spec)

    monkeypatch.setattr(three.platform.runtime, "start", refuse)
    with pytest.raises(EngineFailed):
        deploy.restart(three.platform, three.app, three.out)
    assert three.labels() == are(1)
    is_whole(three, 1)


def test_workers_are_swapped_after_web_one_for_one(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    two = WEB + "worker: exec sleep 600\n"
    flow.deploy(two)
    deploy.scale(flow.platform, flow.app, {"web": 1, "worker": 3}, flow.out)
    watch = Watch(flow, "worker")
    for name in ("start", "stop"):
        monkeypatch.setattr(flow.platform.runtime, name, watch.after(getattr(flow.platform.runtime, name)))
    for change in (lambda: flow.deploy(two), lambda: deploy.restart(flow.platform, flow.app, flow.out)):
        with reconciling(flow):
            change()
        flow.reconcile(lambda: flow.labels() == ["web.1 v2", "worker.1 v2", "worker.2 v2", "worker.3 v2"])
        assert watch.most == 3


def test_formation_that_grows_and_shrinks_with_a_release(flow: Flow) -> None:
    flow.deploy(app_json='{"formation": {"web": {"quantity": 2}}}')
    flow.platform.store.session()
    for quantity in (5, 2):
        watch = Watch(flow)
        from gitpaas.store import Formation

        Formation.delete().execute()
        flow.deploy(app_json=f'{{"formation": {{"web": {{"quantity": {quantity}}}}}}}')
        watch.look()
        assert len(flow.route) == quantity
        assert watch.most <= 6
        flow.reconcile(lambda quantity=quantity: len(flow.labels()) == quantity)
    assert flow.routed_releases() == {3}


# Killed in the middle

KILL = """
import importlib
import gitpaas.receive
module, _, name = {step!r}.rpartition(".")
module = importlib.import_module("gitpaas." + module) if module != "runtime" else flow.platform.runtime
real, calls = getattr(module, name), []
def dies(*given, **more):
    calls.append(1)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(5)
    return real(*given, **more)
setattr(module, name, dies)
flow.push({commit!r})
"""
# Right before each of these calls; what was done last is behind it by then.
STEPS = [
    *(("runtime.start", call) for call in (1, 2, 3)),
    *(("instances.starting.await_healthy", call) for call in (1, 2, 3)),
    *(("instances.leaving.mark", call) for call in (1, 2)),
    *(("instances.rolling.point", call) for call in (1, 2, 3)),
    *(("runtime.stop", call) for call in (1, 2)),
    *(("instances.leaving.clear", call) for call in (2, 3)),
    ("releases.make_live", 1),
    ("instances.rolling.swap_others", 1),
]
LATE = [("instances.rolling.point", 3), ("instances.rolling.swap_others", 1)]  # the release is live by then
# Of a roll-out whose last batch fails: what the way back goes through.
WAY_BACK = [
    *(("runtime.start", call) for call in (4, 5)),
    *(("instances.rolling.point", call) for call in (3, 4)),
    *(("runtime.stop", call) for call in (4, 5)),
    ("instances.starting.await_healthy", 4),
]


def killed(flow: Flow, commit: str, step: str, call: int) -> None:
    dying = flow.process(KILL.format(step=step, call=call, commit=commit))
    dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("step", "call"), STEPS)
def test_killed_at_any_step(three: Flow, step: str, call: int) -> None:
    killed(three, three.commit(), step, call)

    assert isinstance(three.route, tuple)
    assert len([instance for instance in three.running() if instance.address in three.route]) == 3
    assert three.app.release == (2 if (step, call) in LATE else 1)
    is_whole(three, three.app.release)


@pytest.mark.parametrize(("step", "call"), WAY_BACK)
def test_killed_on_the_way_back(three: Flow, step: str, call: int) -> None:
    killed(three, three.commit(first_py=FAILS_AT.format(3)), step, call)

    assert isinstance(three.route, tuple)
    is_whole(three, 1)


def test_killed_and_pushed_again_without_a_server(three: Flow) -> None:
    killed(three, three.commit(), "runtime.stop", 2)
    assert three.deploy().number == 3
    is_whole(three, 3)


# Under load

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = os.environ["GITPAAS_RELEASE"].removeprefix("v").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    log_message = lambda *_: None
http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_no_request_fails_under_load(config: Config) -> None:
    with flows.fresh(config, max_surge="1", drain_timeout=5, http_port=free_port()) as flow:
        flow.deploy(**{"serve.txt": SERVER})
        deploy.scale(flow.platform, flow.app, {"web": 3}, flow.out)
        caddy = CaddyProcess(flow.config)
        caddy.start()
        try:
            with Load(("127.0.0.1", flow.config.http_port), "hello.localhost", rate=100) as load, reconciling(flow):
                for _ in range(2):
                    time.sleep(0.3)
                    flow.deploy(**{"serve.txt": SERVER})
                    load.floor = flow.live.number
                deploy.restart(flow.platform, flow.app, flow.out)
                assert flow.push(flow.commit(**{"serve.txt": FAILS_AT.format(3) + SERVER})) == 1
                time.sleep(0.5)
        finally:
            caddy.stop()
    report = load.report()
    assert (report.failed, report.stale) == (0, 0), report
    assert report.ok > 100
