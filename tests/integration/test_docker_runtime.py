"""What containers bring that processes do not: ports nobody told, health checks of images, networks, limits."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network

import engine
import pytest
import requests
from containers import PORT, Docker, clean, docker
from instances import MEGABYTE, SERVER, host, output, until

from gitpaas import health
from gitpaas.config import Config
from gitpaas.engine.execs import execute
from gitpaas.engine.networks import Networks
from gitpaas.engine.stream import Stream
from gitpaas.errors import CannotStart, RuntimeFailed, Unhealthy
from gitpaas.runtimes.combined import CombinedRuntime
from gitpaas.runtimes.docker import DockerRuntime
from gitpaas.runtimes.docker.orphans import Orphans
from gitpaas.runtimes.docker.starting import Starter
from gitpaas.runtimes.host import HostRuntime
from gitpaas.values import HealthCheck, Instance, Limits, Reach, RunOptions, Survey

pytestmark = pytest.mark.needs("docker")

ONE_ANSWER = HealthCheck("/", timeout=60)


@pytest.fixture
def there(config: Config) -> Iterator[Docker]:
    with docker(config) as made:
        yield made


def healthy(there: Docker, instance: Instance, check: HealthCheck = ONE_ANSWER) -> str:
    """The address that answers in the end."""
    alive = lambda: there.now(instance).state == "running"  # noqa: E731
    return health.wait_until_healthy(lambda: there.runtime.reach(instance), check, alive).address


def reached(there: Docker, instance: Instance, wanted: str) -> Reach:
    """What is said of it once `wanted` is in it."""
    seen: list[Reach] = []
    until(lambda: wanted in (seen.append(there.runtime.reach(instance)) or seen[-1].note), told=lambda: seen[-1])
    return seen[-1]


def get(address: str) -> bytes:
    with urllib.request.urlopen(f"http://{address}/", timeout=30) as response:
        return bytes(response.read())


TOLD = "while [ ! -e /tmp/go ]; do sleep 0.05; done"


def tell(there: Docker, instance: Instance) -> None:
    """What waits until it is TOLD goes on."""
    execute(there.engine, f"gitpaas-{instance.id}", ["touch", "/tmp/go"], timeout=60)


class TestPorts:
    """Where it listens, whatever it was told."""

    def test_the_only_port_that_an_image_exposes_is_the_one_it_is_told(self, there: Docker) -> None:
        artifact = there.artifact(ExposedPorts={"3000/tcp": {}, "3000/udp": {}})
        instance = there.start(there.server("three"), artifact=artifact, listens=True)
        assert str(instance.address).endswith(":3000")
        assert get(healthy(there, instance)) == b"three"

    def test_people_know_better_than_images(self, there: Docker) -> None:
        artifact = there.artifact(ExposedPorts={"3000/tcp": {}})
        options = RunOptions(port=4000)
        instance = there.start(there.server("four"), artifact=artifact, listens=True, options=options)
        assert healthy(there, instance).endswith(":4000")

    def test_a_port_of_its_own_is_found_and_every_process_knows_it(self, there: Docker) -> None:
        instance = there.start(there.server("own", port=5000), listens=True)
        assert str(instance.address).endswith(":8000")
        address = healthy(there, instance)
        assert address.endswith(":5000")
        assert get(address) == b"own"
        assert [i.address for i in there.again().running()] == [address]
        assert there.again().reach(there.now(instance)).address == address

    def test_the_port_it_was_told_wins_when_it_opens_later(self, there: Docker) -> None:
        instance = there.start(f"python3 -m http.server 9229 & {TOLD}; {there.server('late')}", listens=True)
        until(lambda: (there.runtime.reach(instance).address or "").endswith(":9229"))
        tell(there, instance)
        until(lambda: (there.runtime.reach(instance).address or "").endswith(":8000"))
        assert str(there.now(instance).address).endswith(":8000")

    def test_of_several_the_lowest_and_it_says_so(self, there: Docker) -> None:
        another = "import socket; another = socket.create_server(('0.0.0.0', 7001))\nHTTPServer(("
        code = SERVER.format(bind="0.0.0.0", text="b").replace(PORT, "7000").replace("HTTPServer((", another)
        instance = there.start(there.python(code), listens=True)
        reach = reached(there, instance, "it listens on port 7000, and on 7001; port 7000 is taken for the web's")
        assert reach.ready
        assert get(str(reach.address)) == b"b"

    def test_of_several_one_that_the_image_exposes(self, there: Docker) -> None:
        artifact = there.artifact(ExposedPorts={"7001/tcp": {}, "7002/tcp": {}})
        command = f"{there.server('a', port=7001)[5:]} & {there.server('b', port=7000)}"
        instance = there.start(command, artifact=artifact, listens=True)
        assert str(instance.address).endswith(":8000")
        reach = reached(there, instance, "port 7001 is taken for the web's")
        assert get(str(reach.address)) == b"a"

    def test_one_that_listens_on_loopback_alone_is_told_just_that(self, there: Docker) -> None:
        instance = there.start(there.server("inner", bind="127.0.0.1", port=5000), listens=True)
        note = "it listens on 127.0.0.1:5000 only, where nobody outside its container reaches it"
        reach = reached(there, instance, "only")
        assert (reach.ready, reach.note) == (False, note)
        with pytest.raises(Unhealthy, match=f"Nothing answered within 0.5 s: {note}"):
            healthy(there, instance, HealthCheck(timeout=0.5))

    def test_where_the_kernel_cannot_be_read_a_program_in_the_container_looks(
        self, there: Docker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gitpaas.runtimes.docker.listening.PROC", there.config.home / "nowhere")
        instance = there.start(there.server("own", port=5000), listens=True)
        assert get(healthy(there, instance)) == b"own"
        inner = there.start(there.server("inner", bind="127.0.0.1"), listens=True, number=2)
        reached(there, inner, "it listens on 127.0.0.1:8000 only")

    def test_an_ended_one_is_not_looked_for(self, there: Docker) -> None:
        instance = there.ended(there.start("exit 1", listens=True))
        assert there.runtime.reach(instance) == Reach(instance.address)


class TestPublished:
    """Where bridges cannot be reached (Docker Desktop, rootless engines): ports of loopback."""

    @pytest.fixture
    def there(self, config: Config) -> Iterator[Docker]:
        with docker(config, published=True) as made:
            yield made

    def test_it_answers_on_loopback_and_nowhere_else(self, there: Docker) -> None:
        instance = there.start(there.server("here"), listens=True)
        assert healthy(there, instance) == instance.address == there.now(instance).address
        host, _, port = str(instance.address).partition(":")
        assert host == "127.0.0.1"
        assert int(port) in range(*there.config.app_ports)
        assert get(str(instance.address)) == b"here"
        with socket.socket() as other, pytest.raises(OSError, match=r"refused|unreachable|timed out"):
            other.settimeout(1)
            other.connect((str(Networks(there.engine, there.config).place("demo").gateway), int(port)))

    def test_the_proxy_that_takes_every_connection_is_not_taken_for_the_app(self, there: Docker) -> None:
        instance = there.start(f"{TOLD}; {there.server('late')}", listens=True)
        assert reached(there, instance, "nothing listens on port 8000").ready is False
        teller = threading.Timer(1, tell, (there, instance))
        began = time.monotonic()
        teller.start()
        assert healthy(there, instance, HealthCheck(timeout=60)) == instance.address
        assert time.monotonic() - began >= 1
        teller.join()

    def test_nor_where_nobody_can_look_inside(self, there: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gitpaas.runtimes.docker.listening.Listener.look", lambda _: None)
        instance = there.start(f"{TOLD}; {there.server('late')}", listens=True)
        assert not there.runtime.reach(instance).ready
        tell(there, instance)
        healthy(there, instance, HealthCheck(timeout=60))
        assert get(str(instance.address)) == b"late"

    def test_what_an_image_exposes_is_published_too(self, there: Docker) -> None:
        artifact = there.artifact(ExposedPorts={"7001/tcp": {}, "7002/tcp": {}})
        instance = there.start(there.server("a", port=7002), artifact=artifact, listens=True)
        address = healthy(there, instance)
        assert get(address) == b"a"
        assert there.now(instance).address == address != instance.address

    def test_a_port_that_cannot_be_reached_is_told(self, there: Docker) -> None:
        instance = there.start(there.server("own", port=5000), listens=True)
        reach = reached(there, instance, "it listens on port 5000, and only 8000 can be reached from this machine")
        assert (reach.address, reach.ready) == (None, False)


class TestHealthcheck:
    """The one that an image brings."""

    def test_it_is_ready_when_that_has_passed(self, there: Docker) -> None:
        check = {"Test": ["CMD-SHELL", "test -e /tmp/ready || { echo not yet; exit 4; }"], "Interval": 3600 * 10**9}
        command = f"({TOLD}; touch /tmp/ready) & {there.server('up')}"
        instance = there.start(command, artifact=there.artifact(Healthcheck=check), listens=True)
        assert reached(there, instance, "its HEALTHCHECK exited with 4: not yet").ready is False
        tell(there, instance)
        assert get(healthy(there, instance)) == b"up", "the engine's own interval is an hour"

    def test_one_that_hangs_holds_up_nobody(self, there: Docker) -> None:
        check = {"Test": ["CMD", "sleep", "600"], "Timeout": 500 * 10**9}
        instance = there.start(there.server("up"), artifact=there.artifact(Healthcheck=check), listens=True)
        until(lambda: there.runtime.reach(instance).note.startswith("its HEALTHCHECK"))
        began = time.monotonic()
        there.runtime.reach(instance)
        assert time.monotonic() - began < 100

    def test_one_that_takes_too_long_is_told(self, there: Docker) -> None:
        check = {"Test": ["CMD", "sleep", "600"], "Timeout": 10**9}
        instance = there.start(there.server("up"), artifact=there.artifact(Healthcheck=check), listens=True)
        reached(there, instance, "its HEALTHCHECK takes longer than 1 s")

    def test_one_that_says_nothing_is_told_without_a_colon(self, there: Docker) -> None:
        instance = there.start(
            there.server("up"), artifact=there.artifact(Healthcheck={"Test": ["CMD", "false"]}), listens=True
        )
        until(lambda: there.runtime.reach(instance).note == "its HEALTHCHECK exited with 1")

    @pytest.mark.parametrize("test", [["CMD-SHELL", r"printf '\033[2Jno'; exit 1"], ["CMD", "/no\033[2J"]])
    def test_what_it_says_does_not_move_the_readers_cursor(self, there: Docker, test: list[str]) -> None:
        instance = there.start(there.server("up"), artifact=there.artifact(Healthcheck={"Test": test}), listens=True)
        until(lambda: " [2J" in there.runtime.reach(instance).note)
        assert there.runtime.reach(instance).note.isprintable()

    def test_the_engine_does_not_run_it_as_often_as_an_image_likes(self, there: Docker) -> None:
        check = {"Test": ["CMD-SHELL", "echo >> /tmp/times"], "Interval": 10**6}
        instance = there.start(there.server("up"), artifact=there.artifact(Healthcheck=check), listens=True)
        assert there.container(instance)["Config"]["Healthcheck"]["Interval"] == 30 * 10**9


class TestStart:
    """From image and spec to what runs."""

    def test_the_image_starts_as_its_author_said_when_there_is_no_command(self, there: Docker) -> None:
        artifact = there.artifact(Entrypoint=["echo", "by"], Cmd=["default"])
        assert there.said("", artifact=artifact) == "by default\n"

    def test_a_command_goes_behind_the_entrypoint(self, there: Docker) -> None:
        artifact = there.artifact(Entrypoint=["/usr/bin/env", "MADE=yes"], Cmd=["default"])
        assert there.said("echo $MADE $GITPAAS_APP", artifact=artifact) == "yes demo\n"

    def test_a_shell_as_entrypoint_takes_the_command_itself(self, there: Docker) -> None:
        artifact = there.artifact(Entrypoint=["/bin/bash", "-c"], Cmd=["start"])
        assert there.said("echo $0 $BASH_VERSION | grep -c '[45]\\.'", artifact=artifact) == "1\n"

    def test_what_the_image_sets_stays_unless_the_app_says_otherwise(self, there: Docker) -> None:
        artifact = there.artifact(Env=["PATH=/opt/own:/usr/bin:/bin", "HOME=/srv", "MODE=image"], User="33:33")
        text = there.said("echo $PATH $HOME $MODE $USER; id -u", artifact=artifact, env={"MODE": "config"})
        assert text == "/opt/own:/usr/bin:/bin /srv config\n33\n"

    def test_the_stop_signal_is_the_images(self, there: Docker) -> None:
        artifact = there.artifact(StopSignal="SIGINT")
        instance = there.start("trap 'echo int; exit' INT; echo up; while :; do sleep 0.05; done", artifact=artifact)
        output(instance, "up")
        there.runtime.stop(instance, grace=60)
        assert output(instance) == "up\nint\n"

    def test_an_image_without_a_shell_says_so(self, there: Docker) -> None:
        artifact = replace(there.artifact(), reference=there.empty())
        with pytest.raises(CannotStart, match="`serve` is a shell command, and the image of demo has no /bin/sh"):
            there.start("serve", artifact=artifact)
        with pytest.raises(CannotStart, match="The image of demo does not say what to start"):
            there.start("", artifact=artifact)
        assert there.traces() == []

    def test_an_engine_without_an_init_process_is_no_obstacle(
        self, there: Docker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        starter = there.runtime._starter  # type: ignore[attr-defined]
        monkeypatch.setattr(starter, "_has_init", False)
        instance = there.start("exec sleep 60")
        assert there.container(instance)["HostConfig"]["Init"] is False

    def test_a_slug_is_refused_in_words(self, there: Docker) -> None:
        with pytest.raises(RuntimeFailed, match="v1 is no image"):
            there.start("true", artifact=replace(there.artifact(), kind="slug"))

    def test_restarts_are_nobody_elses(self, there: Docker) -> None:
        instance = there.ended(there.start("exit 1"))
        time.sleep(0.5)
        assert there.now(instance) == instance


class TestLimits:
    """What one instance may take."""

    def test_out_of_memory_is_told(self, there: Docker) -> None:
        command = there.python("x = bytearray(200 * 1024 * 1024)")
        instance = there.ended(there.start(command, limits=Limits(64 * MEGABYTE, 64, 1024)))
        assert (instance.exit_code, instance.oom) == (137, True)

    def test_processes_files_and_cpus(self, there: Docker) -> None:
        command = "ulimit -n; for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; echo all"
        instance = there.start(command, limits=Limits(64 * MEGABYTE, 6, 77, 99.0))
        until(
            lambda: "Cannot fork" in output(instance) or "Resource" in output(instance), told=lambda: output(instance)
        )
        assert "77\n" in output(instance)  # whichever of the two streams comes first
        assert "all" not in output(instance)


class TestNetworks:
    """One for each app."""

    def test_more_apps_than_the_engine_has_networks_of_its_own(self, there: Docker) -> None:
        networks = Networks(there.engine, there.config)
        places = [networks.place(f"app-{n}") for n in range(33)]
        assert len({place.network for place in places}) == 33
        assert all(place.address in there.config.app_networks for place in places)
        instance = there.start(there.server("last"), app="app-32", listens=True)
        assert get(healthy(there, instance)) == b"last"

    def test_several_processes_make_one_network_and_give_no_address_twice(self, there: Docker) -> None:
        with ThreadPoolExecutor(8) as pool:
            places = list(pool.map(lambda _: Networks(there.engine, there.config).place("demo"), range(16)))
        assert len({place.network for place in places}) == 1
        assert len({place.address for place in places}) == 16

    def test_a_network_that_was_removed_by_hand_is_made_again(self, there: Docker) -> None:
        place = Networks(there.engine, there.config).place("demo")
        engine.call("DELETE", f"/networks/{place.network}")
        there.start("sleep 60")

    def test_the_range_that_is_used_up_says_what_to_do(self, there: Docker, config: Config) -> None:
        place = Networks(there.engine, config).place("one")
        small = replace(config, app_networks=IPv4Network(f"{place.address}/26", strict=False))
        with pytest.raises(RuntimeFailed, match="No network is left for two") as caught:
            Networks(there.engine, small).place("two")
        assert "GITPAAS_APP_NETWORKS" in str(caught.value.hint)

    def test_instances_of_one_app_reach_each_other_and_the_host_by_name(self, there: Docker) -> None:
        web = there.start(there.server("inside"), listens=True)
        address = healthy(there, web)
        assert there.said(fetch(f"http://{address}/"), process="worker") == "inside\n"
        with socket.create_server(("0.0.0.0", 0)) as server:
            name = f"host.docker.internal:{server.getsockname()[1]}"
            threading.Thread(target=answer_once, args=(server,), daemon=True).start()
            assert there.said(fetch(f"http://{name}/"), process="worker") == "host\n"


def fetch(url: str) -> str:
    code = "import urllib.request as r, sys; print(r.urlopen(sys.argv[1], timeout=30).read().decode())"
    return f"python3 -c '{code}' {url}"


def answer_once(server: socket.socket) -> None:
    client, _ = server.accept()
    client.recv(4096)
    client.sendall(b"HTTP/1.0 200 OK\r\n\r\nhost")
    client.close()


class TestOthers:
    """What is not ours."""

    def test_nobody_elses_containers_are_seen_or_touched(self, there: Docker, config: Config) -> None:
        mine = there.start("sleep 60")
        labels = {"gitpaas.home": "somebody-else", "gitpaas.app": "demo"}
        made = [
            engine.call("POST", "/containers/create", {"Image": engine.DEBIAN, "Labels": marks})[1]["Id"]
            # The third is one of ours that somebody has started by hand from an app's own image.
            for marks in ({}, labels, labels | {"gitpaas.home": config.identity})
        ]
        try:
            assert [instance.id for instance in there.runtime.running()] == [mine.id]
            with there.again().attend():  # looks for orphans at once
                time.sleep(1)
            assert all(engine.call("GET", f"/containers/{key}/json")[0] == 200 for key in made)
        finally:
            for key in made:
                engine.call("DELETE", f"/containers/{key}?force=1")

    def test_what_was_started_since_it_was_listed_is_nobodys_orphan(self, there: Docker, config: Config) -> None:
        orphans = Orphans(config, there.engine, Starter(config, there.engine))
        instance = there.start("sleep 60")
        seen = engine.labelled("containers", config.identity)
        orphans.remove([entry | {"State": "created"} for entry in seen], ())
        assert there.runtime.running("demo") == [instance]

    def test_what_was_made_and_never_started_is_removed(self, config: Config) -> None:
        with docker(config, attends=False) as there:  # or a server would do it first
            orphans = Orphans(config, there.engine, Starter(config, there.engine))
            there.start("sleep 60")
            (listed,) = engine.labelled("containers", config.identity)
            marks = listed["Labels"] | {"gitpaas.id": "demo.v1.web.1.killed"}
            made = engine.call("POST", "/containers/create", {"Image": engine.DEBIAN, "Labels": marks})[1]["Id"]
            seen = engine.labelled("containers", config.identity)
            assert {entry["State"] for entry in seen} == {"created", "running"}
            orphans.remove(seen, ())
            assert [entry["Id"] for entry in engine.labelled("containers", config.identity)] == [listed["Id"]]
            assert made != listed["Id"]

    def test_labels_in_an_image_are_not_believed(self, there: Docker) -> None:
        lies = {"gitpaas.port": "22", "gitpaas.oneoff": "yes", "gitpaas.app": "other", "gitpaas.published": "1:2"}
        instance = there.start("sleep 60", artifact=there.artifact(Labels=lies))
        assert there.runtime.running("demo") == [instance]
        assert instance.address is None


class TestCombined:
    """Slugs and images on one machine."""

    def test_each_goes_its_own_way(self, there: Docker, config: Config) -> None:
        with host(config, None) as processes:
            both = CombinedRuntime(HostRuntime(config), DockerRuntime(config))
            slug = both.start(processes.spec("echo slug; sleep 60", app="old"))
            image = both.start(there.spec("echo image; exit 3"))
            assert both.wait_for_exit(100)
            assert [(i.app, i.runtime, i.state) for i in both.running()] == [
                ("old", "host", "running"),
                ("demo", "docker", "exited"),
            ]
            assert both.survey("old") == Survey((slug,))
            assert output(slug, "\n") == "slug\n"
            assert both.output(image, 1) == ("image",)
            assert both.run(there.spec("exit 4"), lambda _: None, 100) == 4
            assert both.run(processes.spec("exit 5"), lambda _: None, 100) == 5
            both.stop(slug, 0)
            assert not both.wait_for_exit(0.2)
            both.stop(image, 0)
            assert both.running() == []
            both.wake()
            assert not both.wait_for_exit(10)
            both.forget("demo")


def test_what_a_killed_caller_left_is_swept(there: Docker, config: Config) -> None:
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from containers import Docker
from gitpaas.config import load
from gitpaas.runtimes.docker import DockerRuntime
config = load({{"GITPAAS_HOME": {str(config.home)!r}}})
there = Docker(DockerRuntime(config), config)
there.runtime.run(there.spec("echo up; sleep 60"), lambda line: print(line, flush=True), 60)
"""
    caller = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"up\n"
    assert there.runtime.running() == []
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert len(engine.labelled("containers", config.identity)) == 1
    with there.again().attend():
        until(lambda: there.traces() == [], told=there.traces)


def test_many_are_listed_by_one_question(there: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: there.start("exec sleep 600", number=n), range(1, 11)))
    connect, asked = Stream.__init__, list[str]()

    def ask(self: Stream, address: str, method: str, path: str, *more: object, **how: object) -> None:
        asked.append(path)
        connect(self, address, method, path, *more, **how)

    monkeypatch.setattr(Stream, "__init__", ask)
    monkeypatch.setattr(requests.Session, "send", None)
    assert len(there.runtime.running()) == 10
    assert len(asked) == 1, asked
    monkeypatch.undo()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda instance: there.runtime.stop(instance, 0), there.runtime.running()))


def test_what_an_app_had_goes_with_it(there: Docker, config: Config) -> None:
    there.runtime.stop(there.start("true"), 0)
    assert len(engine.labelled("networks", config.identity)) == 1
    clean(there)
    assert engine.labelled("networks", config.identity) == []
