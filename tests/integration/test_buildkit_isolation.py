"""What a build cannot reach, and what cannot be seen of it: with the real BuildKit and engine."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import dockerfiles
import engine
import pytest
from containers import docker
from dockerfiles import BASE, Yard, eventually
from processes import watching, with_arguments

from gitpaas.buildkit.settings import PLANS
from gitpaas.config import Config
from gitpaas.errors import BuildFailed
from gitpaas.toolchain.pins import shipped

pytestmark = [pytest.mark.needs("root", "sandbox", "docker", "buildkit"), pytest.mark.timeout(900)]

TOKEN = f"not-for-anybodys-eyes-{secrets.token_hex(8)}"
SECRET = "--mount=type=secret,id=TOKEN,env=TOKEN"
PYTHON = "FROM python:3.11-slim\n"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with dockerfiles.yard(tmp_path_factory.mktemp("isolation") / "home") as made:
        yield made


# Secrets


def test_a_secret_reaches_its_step_and_nothing_else(yard: Yard) -> None:
    text = PYTHON + f'RUN {SECRET} test -n "$TOKEN" && sleep 0.5 && printf \'%s\' "$TOKEN" | md5sum > /sum\n'
    with watching("cmdline") as seen:
        built = yard.build(text + 'RUN env; test -z "$TOKEN"\n', app="secret", env={"TOKEN": TOKEN})
    assert len(built.run("cat", "/sum").split()[0]) == 32
    assert any(b"id=TOKEN" in argv for argv in seen)
    assert not any(TOKEN.encode() in argv for argv in seen)
    assert TOKEN not in built.text
    saved = subprocess.run(["docker", "save", built.artifact.reference], capture_output=True, check=True).stdout
    assert TOKEN.encode() not in saved, "neither a layer nor the history"
    kept = subprocess.run(["grep", "-rlF", TOKEN, str(yard.config.buildkit)], capture_output=True, text=True)
    assert kept.stdout == ""


def test_a_changed_secret_runs_the_steps_again_and_the_same_does_not(yard: Yard) -> None:
    text = PYTHON + f"RUN {SECRET} echo one\n"
    yard.build(text, app="changes", env={"TOKEN": "1", "OTHER": "1"})
    assert len(yard.build(text, app="changes", env={"TOKEN": "1", "OTHER": "2"}).cached) == 1
    assert len(yard.build(text, app="changes", env={"TOKEN": "2", "OTHER": "2"}).cached) == 0


def test_another_apps_step_never_comes_out_of_the_cache_with_its_secret(yard: Yard) -> None:
    text = PYTHON + f'RUN {SECRET} echo "token: $TOKEN" > /leak\nCMD cat /leak\n'
    assert yard.build(text, app="victim", env={"TOKEN": "theirs"}).run() == "token: theirs\n"
    assert yard.build(text, app="thief", env={"TOKEN": "mine"}).run() == "token: mine\n"
    assert yard.build(text, app="thief").run() == "token: \n"


def test_a_cached_directory_is_the_apps_own(yard: Yard) -> None:
    mount = "--mount=type=cache,target=/kept"
    yard.build(PYTHON + f"RUN {mount} echo poison > /kept/x\n", app="poisoner")
    own = yard.build(PYTHON + f"RUN {mount} echo mine >> /kept/y; ls /kept > /seen\nCMD cat /seen\n", app="other")
    assert own.run() == "y\n"
    poisoned = PYTHON + f"RUN {mount} cat /kept/x > /seen || true\nCMD cat /seen\n"
    assert yard.build(poisoned, app="poisoner").run() == "poison\n"
    assert yard.build(poisoned, app="other").run() == "", "nor does the step come with what it found elsewhere"
    args = {"BUILDKIT_CACHE_MOUNT_NS": "poisoner"}
    again = yard.build(PYTHON + f"RUN {mount} ls /kept > /seen\nCMD cat /seen\n", app="other", args=args)
    assert again.run() == "y\n"


def test_a_dockerfile_is_no_plan_of_railpack(yard: Yard) -> None:
    """Its frontend names cached directories as the plan says: those of other apps too."""
    mount = "--mount=type=cache,id=kept,target=/kept"
    yard.build(PYTHON + f"RUN {mount} echo theirs > /kept/x\n", app="planned")
    step = {"name": "look", "inputs": [{"image": "python:3.11-slim"}], "commands": [{"cmd": "cat /kept/x"}]}
    plan = {
        "syntax": f"{PLANS}:v{shipped().tools['railpack'].version}",
        "caches": {"planned/kept": {"directory": "/kept", "type": "shared"}},
        "steps": [step | {"caches": ["planned/kept"]}],
        "deploy": {"base": {"image": "python:3.11-slim"}, "inputs": [{"step": "look", "include": ["/etc/passwd"]}]},
    }
    with pytest.raises(BuildFailed, match="denied by policy"):
        yard.build(json.dumps(plan), app="planner")


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "DOCKER_CONFIG", "HTTPS_PROXY", "BUILDKIT_HOST", "GODEBUG"])
def test_no_config_var_acts_on_what_builds(yard: Yard, name: str) -> None:
    built = yard.build(BASE + f"RUN --mount=type=secret,id={name} cat /run/secrets/{name}\n", env={name: "/no/where"})
    assert "/no/where" in built.text


def test_buildctl_runs_as_nobodys_user_and_sees_one_tree(yard: Yard) -> None:
    seen: list[tuple[str, set[str]]] = []

    def look() -> bool:
        for pid in with_arguments("/buildctl"):  # its launcher has that among its arguments as well
            with suppress(OSError):  # it has ended
                status = Path(f"/proc/{pid}/status").read_text()
                if status.startswith("Name:\tbuildctl\n") and is_ours(pid):
                    seen.append((status, {path.name for path in Path(f"/proc/{pid}/root/").iterdir()}))
        return bool(seen)

    watcher = threading.Thread(target=eventually, args=(look,))
    watcher.start()
    yard.build(BASE + "RUN sleep 1\n", app="watched")
    watcher.join()
    status, root = seen[0]
    uid = str(yard.config.app_uid_base)
    assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" in status
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert {"app", "buildctl", "buildkit", "desk"} <= root
    assert yard.config.home.parts[1] not in root - {"tmp"}


def is_ours(pid: int) -> bool:
    """Whether this process, and not that of another test run, has begun it: it or one of its children."""
    while pid not in (os.getpid(), 1):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == os.getpid()


# The network


@pytest.fixture
def listener() -> Iterator[int]:
    """Something that listens on 127.0.0.1 of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def attempt(address: str, port: int) -> str:
    code = f"import socket; socket.create_connection(('{address}', {port}), 3)"
    return PYTHON + f'RUN date +%N; python3 -c "{code}"\n'


def test_a_step_reaches_the_outside_by_name(yard: Yard) -> None:
    assert yard.buildkit.missing() == []
    host = "import socket; print(socket.create_connection(('deb.debian.org', 80), 10).getpeername())"
    yard.build(PYTHON + f'RUN python3 -c "{host}"\n', app="outside")


def test_a_step_does_not_reach_what_listens_on_the_servers_loopback(yard: Yard, listener: int) -> None:
    socket.create_connection(("127.0.0.1", listener)).close()
    with pytest.raises(BuildFailed) as failed:
        yard.build(attempt("127.0.0.1", listener), app="loopback")
    assert "ConnectionRefusedError" in failed.value.tail[-1]


def test_a_step_does_not_reach_an_app(yard: Yard, config: Config) -> None:
    with docker(replace(config, runtime="docker", app_networks=yard.config.app_networks)) as there:
        instance = there.start(there.server("hello"), listens=True)
        eventually(lambda: there.runtime.reach(instance).address)
        host, _, port = str(there.runtime.reach(instance).address).rpartition(":")
        eventually(lambda: _answers(host, int(port)))
        with pytest.raises(BuildFailed) as failed:
            yard.build(attempt(host, int(port)), app="neighbour")
    assert "TimeoutError" in failed.value.tail[-1]


def test_a_step_does_not_reach_other_containers_of_the_engine(yard: Yard) -> None:
    with running("-m", "http.server", "5432") as (_, address):
        eventually(lambda: _answers(address, 5432))
        with pytest.raises(BuildFailed) as failed:
            yard.build(attempt(address, 5432), app="curious")
    assert "TimeoutError" in failed.value.tail[-1]


def test_a_port_that_a_container_publishes_is_the_machines(yard: Yard) -> None:
    with running("-m", "http.server", "5432", publish=True) as (name, address):
        eventually(lambda: _answers(address, 5432))
        port = int(_docker("port", name, "5432").splitlines()[0].rpartition(":")[2])
        yard.build(attempt(own_address(), port), app="welcome")


def test_nobody_reaches_a_step(yard: Yard, config: Config) -> None:
    """Neither the step of another app's build nor an app's container."""
    server = "import socket; s = socket.create_server(('', 7777))\nwhile not s.accept()[0].recv(1): pass"
    before, files = bridge_members(yard), {"serve.py": server}
    text = PYTHON + "COPY serve.py /\nRUN date +%N; timeout 500 python3 /serve.py\n"
    build = threading.Thread(target=yard.build, args=(text, files), kwargs={"app": "listening"})
    build.start()
    found: list[str] = []
    eventually(lambda: found.extend(one for one in bridge_members(yard) - before if _answers(one, 7777)) or found)
    host = found[0]
    with docker(replace(config, runtime="docker", app_networks=yard.config.app_networks)) as there:
        code = f"import socket; socket.create_connection(('{host}', 7777), 2)"
        assert "TimeoutError" in there.said(there.python(code))
    with pytest.raises(BuildFailed) as failed:
        yard.build(attempt(host, 7777), app="visitor")
    assert "TimeoutError" in failed.value.tail[-1]
    with socket.create_connection((host, 7777), 60) as connection:  # it was there all the time
        connection.sendall(b".")
    build.join()


@contextmanager
def running(*argv: str, publish: bool = False) -> Iterator[tuple[str, str]]:
    """Somebody else's container, with Python: its name and its address."""
    network = f"gitpaas-test-{secrets.token_hex(4)}"
    words = ["--detach", "--rm", f"--network={network}", *(["--publish=5432"] if publish else [])]
    _docker("network", "create", network)
    try:
        name = _docker("run", *words, engine.PYTHON, "python3", *argv)
        try:
            found = engine.call("GET", f"/containers/{name}/json")[1]["NetworkSettings"]
            yield name, found["Networks"][network]["IPAddress"]
        finally:
            engine.call("DELETE", f"/containers/{name}?force=1")
    finally:
        # The container may just be removing itself (--rm).
        eventually(lambda: engine.call("DELETE", f"/networks/{network}")[0] in (204, 404))


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def own_address() -> str:
    """This machine's, to the outside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def bridge_members(yard: Yard) -> set[str]:
    """The addresses that steps may have."""
    bridge = f"gpb-{yard.config.identity[:8]}"
    told = subprocess.run(["ip", "-4", "-oneline", "address", "show", bridge], capture_output=True, text=True).stdout
    start = told.partition("inet ")[2].partition("/")[0].rpartition(".")[0]
    # Not by Path.glob, which raises when somebody else's bridge goes meanwhile.
    leases = [name for _, _, names in os.walk("/var/lib/cni/networks") for name in names]
    return {name for name in leases if name.startswith(f"{start}.")}


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


# The machine


def test_steps_are_held_by_the_limits_of_the_whole(yard: Yard) -> None:
    path = Path("/proc/self/cgroup")
    assert path.exists()
    built = yard.build(BASE + "RUN date +%N; cat /proc/self/cgroup\n", app="capped")
    assert f"gitpaas.buildkit-{yard.config.identity}/buildkit/" in built.text or ":/\n" in built.text


def test_a_step_that_takes_too_much_memory_is_killed_and_the_daemon_is_not(yard: Yard) -> None:
    small = yard.again(BUILD_MEMORY="150m", MAX_BUILDS="1")
    with small.buildkit._daemon.in_use():
        pid = small.buildkit.pid()
    with pytest.raises(BuildFailed) as failed:
        small.build(PYTHON + "RUN python3 -c 'bytearray(600_000_000)'\n", app="greedy")
    assert "exited with 137" in failed.value.message
    assert "memory" in str(failed.value.hint)
    assert small.buildkit.pid() == pid


def test_no_port_and_no_socket_of_the_daemon_is_open_to_others(yard: Yard) -> None:
    yard.build(BASE, app="closed")
    for path in (yard.config.buildkit, yard.config.home):
        assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(BuildFailed):
        yard.build(BASE + "RUN date +%N; ls /var/run/docker.sock /run/buildkit /buildkit\n", app="closed")


def test_the_engine_is_left_as_it_was(yard: Yard) -> None:
    yard.build(BASE, app="counted")
    ours = {label["Id"] for label in engine.labelled("images", yard.config.identity)}
    assert ours
    assert engine.labelled("containers", yard.config.identity) == []
