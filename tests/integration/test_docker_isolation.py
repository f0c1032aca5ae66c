"""What an app in a container may not do to the machine, to the server and to other apps. Each test is an attack."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import engine
import pytest
from containers import Docker, docker
from instances import until

from gitpaas import health
from gitpaas.config import Config
from gitpaas.engine import labels
from gitpaas.engine.images import Images
from gitpaas.engine.networks import Networks
from gitpaas.values import HealthCheck, Instance

pytestmark = pytest.mark.needs("docker")

# Each target in its own words: "10.0.0.1:80 refused".
KNOCK = """
import socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1.5).close()
        print(target, "open")
    except OSError as error:
        print(target, type(error).__name__)
"""


@pytest.fixture
def there(config: Config) -> Iterator[Docker]:
    with docker(config) as made:
        yield made


def knock(there: Docker, *targets: str, **values: object) -> list[str]:
    """How each "host:port" answered somebody in a container of the app demo."""
    command = f"{there.python(KNOCK)} {' '.join(targets)}"
    return [line.rpartition(" ")[2] for line in there.said(command, **values).splitlines()]


def serving(there: Docker, app: str) -> Instance:
    instance = there.start(there.server("secret"), app=app, listens=True)
    until(lambda: health.answers(there.runtime.reach(instance), HealthCheck("/")))
    return instance


@contextmanager
def listening(address: str) -> Iterator[int]:
    with socket.create_server((address, 0)) as server:
        yield int(server.getsockname()[1])


def test_another_apps_container_cannot_be_reached_by_its_address(there: Docker) -> None:
    other = serving(there, "other")
    assert health.answers(there.runtime.reach(other), HealthCheck("/"), timeout=60), "while the host does reach it"
    assert knock(there, str(other.address)) == ["TimeoutError"]


def test_nor_by_its_name(there: Docker) -> None:
    other = serving(there, "other")
    names = (f"gitpaas-{other.id}:8000", "other:8000", "web:8000", "web.1:8000")
    assert set(knock(there, *names)) == {"gaierror"}


def test_nor_where_it_is_published(config: Config) -> None:
    with docker(config, published=True) as there:
        other = serving(there, "other")
        port = str(other.address).rpartition(":")[2]
        gateway = Networks(there.engine, config).place("demo").gateway
        inner = there.container(other)["Config"]["Labels"]["gitpaas.address"]
        targets = (f"127.0.0.1:{port}", f"{gateway}:{port}", f"host.docker.internal:{port}", f"{inner}:8000")
        assert "open" not in knock(there, *targets)


def test_services_on_the_machines_loopback_are_out_of_reach(there: Docker) -> None:
    gateway = Networks(there.engine, there.config).place("demo").gateway
    with listening("127.0.0.1") as port:
        targets = [f"{host}:{port}" for host in ("127.0.0.1", str(gateway), "host.docker.internal")]
        assert knock(there, *targets) == ["ConnectionRefusedError"] * 3


def test_an_apps_network_has_nobody_else_in_it(there: Docker) -> None:
    serving(there, "other")
    mine = there.start("sleep 60")
    network = there.container(mine)["HostConfig"]["NetworkMode"]
    members = engine.call("GET", f"/networks/{network}")[1]["Containers"]
    assert [member["Name"] for member in members.values()] == [f"gitpaas-{mine.id}"]


def test_neither_the_engines_socket_nor_its_usual_ports(there: Docker) -> None:
    gateway = Networks(there.engine, there.config).place("demo").gateway
    assert "open" not in knock(there, f"{gateway}:2375", f"{gateway}:2376")
    text = there.said("ls /run/docker.sock /var/run/docker.sock /run/containerd; grep -c docker.sock /proc/mounts")
    assert text.count("No such file") == 3
    assert "0" in text.splitlines()


def test_the_state_directory_is_not_there(there: Docker) -> None:
    """Its database, the SSH server's key and the router's admin socket are all in it."""
    secret = there.config.home / "secret.key"
    secret.write_text("k3y")
    secret.chmod(0o644)
    home = there.config.home
    text = there.said(f"cat {secret} /proc/1/root{secret} /proc/1/cwd{secret}; ls {home} {home}/run; df")
    assert "k3y" not in text
    assert str(home) not in text.replace(f"'{home}", "").replace(f"{home}:", "").replace(str(secret), "")


def test_others_processes_are_not_even_listed(there: Docker) -> None:
    there.start("sleep 60", app="other", env={"PASSWORD": "p4ssword"})
    text = there.said("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'; kill -9 -1; ls /proc")
    assert "p4ssword" not in text
    assert "dockerd" not in text


def test_it_has_few_capabilities_and_can_get_no_more(there: Docker) -> None:
    text = there.said("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status")
    found = dict(line.split(":\t") for line in text.splitlines())
    # CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE (capabilities(7))
    least = f"{sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7, 10)):016x}"
    assert (found["CapBnd"], found["CapEff"], found["CapAmb"]) == (least, least, "0" * 16)
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


ATTEMPTS = [
    "mount -t tmpfs none /mnt",
    "mknod /tmp/disk b 8 0",
    "chroot /usr true",
    "unshare -r true",
    "hostname other",
    "date -s 2001-01-01",
    "echo 1 >/proc/sys/kernel/panic",
    "echo b >/proc/sysrq-trigger",
    "cat /proc/kcore",
    "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
    "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
    "nsenter -t 1 -n true && ls /proc/1/ns/net /sys/fs/cgroup/release_agent",
]


def test_what_root_of_the_machine_could_do(there: Docker) -> None:
    """It is root in its container, and that is all."""
    command = "; ".join(f"({attempt}) >/tmp/said 2>&1; echo $?" for attempt in ATTEMPTS)
    codes = [int(line) for line in there.said(command).splitlines()]
    assert len(codes) == len(ATTEMPTS)
    assert [attempt for attempt, code in zip(ATTEMPTS, codes, strict=True) if code in (0, 127)] == []


def test_a_user_of_the_image_does_not_become_root(there: Docker) -> None:
    code = "import os\ntry: os.setuid(0)\nexcept PermissionError: print('refused', os.getuid())"
    assert there.said(there.python(code), artifact=there.artifact(User="33")) == "refused 33\n"
    setuid = there.artifact(User="33", Env=["PATH=/usr/bin:/bin"])
    # A program that is root's and setuid: no_new_privs takes that from it.
    assert there.said("ls -l /bin/su | cut -c4; su root -c id </dev/null", artifact=setuid).startswith("s\n")
    assert "uid=0" not in there.said("su root -c id </dev/null", artifact=setuid)


def test_a_fork_bomb_ends_at_its_limit(there: Docker) -> None:
    instance = there.start("bomb() { bomb | bomb & }; bomb; sleep 60")
    until(lambda: any("fork" in line.lower() for line in there.runtime.output(instance, 20)))
    there.runtime.stop(instance, grace=0)
    assert there.runtime.running() == []


def test_an_image_that_speaks_our_words_is_taken_for_nothing_of_ours(there: Docker) -> None:
    """Neither while it gets its labels nor when somebody starts what came of it by hand."""
    home = there.config.identity
    image = there.variant(Labels={"gitpaas.home": home, "gitpaas.id": "../x", "gitpaas.app": "other"})
    seen: list[object] = []
    over = threading.Event()

    def watch() -> None:
        try:
            while not over.is_set():
                seen.extend(there.runtime.running())
        except Exception as error:
            seen.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        made = Images(there.engine).name_and_label(
            image, "gitpaas-test/forged:1", labels(there.engine.ours, app="demo")
        )
        there.images.append(made)
        _, container = engine.call("POST", "/containers/create", {"Image": made, "Cmd": ["sleep", "9"]})
        engine.call("POST", f"/containers/{container['Id']}/start")
        time.sleep(0.2)
        engine.call("DELETE", f"/containers/{container['Id']}?force=1")
    finally:
        over.set()
        watcher.join()
    assert seen == []
