"""An engine that does not answer, that is restarted, that is killed: apps are left alone, and looked after again."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import engine
import flow as flows
import pytest
from containers import Docker, clean, docker
from engines import Door, OwnEngine, SlowListener, door, own_engine
from flow import ALICE, Flow
from instances import output, until

from gitpaas import apps, releases
from gitpaas.config import Config
from gitpaas.engine import stream
from gitpaas.errors import EngineFailed
from gitpaas.instances.reconcile import Reconciler
from gitpaas.logs import Collector
from gitpaas.runtimes.combined import CombinedRuntime
from gitpaas.runtimes.docker import DockerRuntime
from gitpaas.runtimes.host import HostRuntime
from gitpaas.store import Build
from gitpaas.values import Artifact, Instance, Survey

pytestmark = [
    pytest.mark.needs("docker"),
    # docker-py forgets the socket on which it could not connect.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Door]:
    with door(tmp_path / "engine.sock") as made:
        yield made


@pytest.fixture
def cut_off(config: Config, gate: Door) -> Config:
    return replace(config, docker_host=gate.address)


@pytest.fixture
def there(cut_off: Config, gate: Door) -> Iterator[Docker]:
    with docker(cut_off) as made:
        yield made
        if gate.path.exists():
            gate.close()
        gate.open()


class TestSilence:
    """It says nothing for a while."""

    def test_silence_does_not_mean_that_nothing_runs(self, there: Docker, gate: Door) -> None:
        instance = there.start("echo up; sleep 60", listens=True)
        output(instance, "up")
        gate.close()
        with pytest.raises(EngineFailed, match=r"Docker Engine at unix://.*engine.sock does not answer"):
            there.runtime.running()
        with pytest.raises(EngineFailed):
            there.runtime.stop(instance, grace=0)
        with pytest.raises(EngineFailed):
            there.start("true")
        assert there.runtime.survey() == Survey((), frozenset({"image"}))
        assert there.runtime.reach(instance).address == instance.address
        assert there.runtime.output(instance, 3) == ("up",)
        assert "does not answer" in there.again().missing()[0]
        gate.open()
        assert there.runtime.survey() == Survey((instance,))

    def test_one_that_hangs_is_not_waited_for_long(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        with door(config.home.parent / "hung.sock") as gate:
            runtime = DockerRuntime(replace(config, docker_host=gate.address))
            assert runtime.running() == []
            monkeypatch.setattr(stream, "_PATIENCE", 1)
            gate.hang()
            began = time.monotonic()
            with pytest.raises(EngineFailed, match="does not answer"):
                runtime.running()
            assert time.monotonic() - began < 100

    def test_what_ended_meanwhile_is_told_afterwards(self, there: Docker, gate: Door) -> None:
        instance = there.start("sleep 600")
        assert not there.runtime.wait_for_exit(0.1)
        gate.close()
        assert engine.call("POST", f"/containers/gitpaas-{instance.id}/kill")[0] == 204
        assert not there.runtime.wait_for_exit(0.5)
        timer = threading.Timer(0.5, gate.open)
        timer.start()
        began = time.monotonic()
        assert there.runtime.wait_for_exit(100)
        assert time.monotonic() - began < 60
        timer.join()

    def test_what_ends_before_the_engine_listens_is_told_all_the_same(self, there: Docker, config: Config) -> None:
        with door(config.home.parent / "slow.sock", SlowListener) as slow:
            runtime = DockerRuntime(replace(config, docker_host=slow.address))
            instance = there.start("sleep 600")
            assert not runtime.wait_for_exit(0.5)
            assert engine.call("POST", f"/containers/gitpaas-{instance.id}/kill")[0] == 204
            there.ended(instance)
            slow.listens.set()
            assert runtime.wait_for_exit(60)

    def test_a_wait_can_be_ended_all_the_same(self, there: Docker, gate: Door) -> None:
        gate.close()
        threading.Timer(0.2, there.runtime.wake).start()
        began = time.monotonic()
        assert not there.runtime.wait_for_exit(100)
        assert time.monotonic() - began < 60

    def test_output_goes_on_where_it_was(self, there: Docker, gate: Door) -> None:
        instance = there.start("i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.01; done; sleep 60")
        output(instance, "line 20\n")
        gate.close()
        time.sleep(1.5)
        gate.open()
        text = output(instance, "line 300\n")
        assert text.splitlines() == [f"line {n}" for n in range(1, 301)]


class TestReconcile:
    """Slugs and images on one server, and the engine goes away."""

    @pytest.fixture
    def flow(self, cut_off: Config, gate: Door) -> Iterator[Flow]:
        with flows.fresh(cut_off) as made:
            both = CombinedRuntime(HostRuntime(cut_off), DockerRuntime(made.config))
            made.platform = replace(made.platform, runtime=both)
            made.reconciler = Reconciler(made.platform, lambda app, text: made.told.append(text))
            made.deploy()
            boxed(made)
            try:
                yield made
            finally:
                if gate.path.exists():
                    gate.close()
                gate.open()
                until(lambda: not made.reconciler._stopping)
                for instance in both.running("boxed"):
                    both.stop(instance, 0)
                clean(Docker(both, made.config))

    def test_apps_on_the_host_are_looked_after_and_images_left_exactly_as_they_are(
        self, flow: Flow, gate: Door
    ) -> None:
        (before,), routes = of_boxed(flow), flow.platform.router.routes()
        flow.told.clear()
        gate.close()
        killed = host_instance(flow)
        kill(flow, killed)
        # By another instance, which may well have got the same port.
        flow.reconcile(lambda: (new := host_instance(flow)).id != killed.id and host_route(flow) == (new.address,))
        assert flow.platform.router.routes()[flow.config.host("boxed")] == routes[flow.config.host("boxed")]
        gate.open()
        flow.reconcile()
        assert of_boxed(flow) == [before]
        assert flow.told == ["web.1 exited with 137; starting again"]

    def test_a_container_that_ended_meanwhile_is_started_again_and_routed(self, flow: Flow, gate: Door) -> None:
        (before,) = of_boxed(flow)
        gate.close()
        flow.reconcile()
        engine.call("POST", f"/containers/gitpaas-{before.id}/kill")
        flow.reconcile()
        gate.open()
        flow.reconcile(lambda: boxed_route(flow) in {i.address for i in of_boxed(flow) if i.id != before.id})

    def test_a_container_that_was_removed_by_hand_comes_back(self, flow: Flow) -> None:
        (before,) = of_boxed(flow)
        engine.call("DELETE", f"/containers/gitpaas-{before.id}?force=1")
        flow.reconcile(lambda: of_boxed(flow) != [] and boxed_route(flow) == of_boxed(flow)[0].address)

    def test_logs_are_kept_and_those_of_the_host_collected(self, flow: Flow, gate: Door) -> None:
        (instance,) = of_boxed(flow)
        collector = Collector(flow.config, flow.platform.runtime.survey)
        with flow.platform.runtime.attend():
            output(instance, "up")
            collector.collect_once()
            gate.close()
            for _ in range(3):
                collector._asked = float("-inf")  # as time goes by
                collector.collect_once()
        assert instance.log is not None
        assert instance.log.exists()


def boxed(flow: Flow) -> None:
    """An app that is an image, live and routed."""
    app = apps.create(flow.platform, "boxed", ALICE)
    image = engine.call("GET", f"/images/{engine.PYTHON}/json")[1]["Id"]
    processes = {"web": "echo up; exec python3 -m http.server $PORT"}
    artifact = Artifact("image", image, "dockerfile", "", processes)
    build = Build.create(app=app, commit="0" * 40, previous="", ref="", by="alice", status="live", finished_at=1.0)
    releases.make_live(flow.platform, app, releases.create(flow.platform, app, artifact, build))
    flow.reconcile(lambda: boxed_route(flow) not in ("starting", None))


def of_boxed(flow: Flow) -> list[Instance]:
    return list(flow.platform.runtime.survey("boxed").instances)


def boxed_route(flow: Flow) -> str | None:
    route = flow.platform.router.routes().get(flow.config.host("boxed"))
    return route[0] if isinstance(route, tuple) else route


def host_route(flow: Flow) -> object:
    route = flow.platform.router.routes().get(flow.config.host("hello"))
    return route if isinstance(route, tuple) else None


def kill(flow: Flow, instance: Instance) -> None:
    pid = (flow.config.run / "instances" / f"{instance.id}.pid").read_text().split()[0]
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: host_instance(flow).state == "exited")


def host_instance(flow: Flow) -> Instance:
    return flow.platform.runtime.survey("hello").instances[0]


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    # Not in pytest's own directory: a socket's path has 107 bytes at most.
    with own_engine(Path(mkdtemp(prefix="gitpaas-test-")), engine.DEBIAN) as made:
        yield made


@pytest.mark.needs("root", "dockerd")
class TestRestart:
    """An engine of the test's own: ended as a package upgrade does it, and killed."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_all_is_seen_again_and_starts_again(
        self, config: Config, own: OwnEngine, number: signal.Signals, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = replace(config, docker_host=own.address)
        settings.home.mkdir(parents=True)
        runtime = DockerRuntime(settings)
        there = Docker(runtime, settings)
        artifact = Artifact("image", own.image, "dockerfile", "", {})
        caplog.set_level(logging.WARNING)
        with runtime.attend():
            first = there.start("echo up; trap 'echo bye; exit' TERM; while :; do sleep 0.05; done", artifact=artifact)
            output(first, "up\n")
            assert not runtime.wait_for_exit(0.1)
            own.stop(number)
            assert runtime.survey().unseen == {"image"}
            own.start()
            assert runtime.wait_for_exit(100)
            (ended,) = runtime.running()
            assert (ended.id, ended.state) == (first.id, "exited")
            assert ended.exit_code is not None
            runtime.stop(ended, grace=0)
            again = there.start("echo here again; sleep 60", artifact=artifact, restarts=1)
            assert again.address == first.address is None
            output(again, "here again\n")
            runtime.stop(again, grace=0)
        runtime.forget("demo")
        assert output(first).splitlines()[0] == "up"
        assert [record for record in caplog.records if record.exc_info] == []
