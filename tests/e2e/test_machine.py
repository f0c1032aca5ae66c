"""A machine that is in the way: ports taken, a server there already, a disk that is full."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import RunWorld
from .world import World

pytestmark = pytest.mark.needs("git", "ssh", "ssh-keygen")

MEGABYTE = 1024 * 1024


def test_second_server_on_the_same_state_is_refused(own_world: World) -> None:
    refused = own_world.gitpaas("serve")

    assert refused.code == 1
    assert str(own_world.process.pid) in refused.errors  # type: ignore[union-attr]
    assert str(own_world.home) in refused.errors


@pytest.mark.parametrize("port", ["SSH_PORT", "HTTP_PORT"])
def test_port_taken_is_said_with_who_has_it(own_world: World, port: str, short_directory: Path) -> None:
    own_world.stop()
    number = own_world.env[f"GITPAAS_{port}"]
    squat = f"import socket; s = socket.create_server(('127.0.0.1', {number})); print('up', flush=True); s.accept()"
    with subprocess.Popen(["python3", "-c", squat], stdout=subprocess.PIPE) as squatter:
        assert squatter.stdout
        squatter.stdout.readline()
        refused = own_world.gitpaas("serve")
        squatter.kill()

    assert refused.code == 1
    assert number in refused.errors
    assert str(squatter.pid) in refused.errors


def test_server_loads_late_what_it_may_never_need(own_world: World) -> None:
    """Docker's library takes half a second and some megabytes."""
    own_world.stop()
    own_world.env["PYTHONPROFILEIMPORTTIME"] = "1"
    own_world.start()
    for command in ("apps", "status", "disk", "events"):
        own_world.ssh(command)
    time.sleep(1.5)  # a round of each loop
    own_world.stop()

    lines = (own_world.root / "serve.err").read_text().splitlines()
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    assert "paramiko" in loaded
    assert loaded.isdisjoint({"docker", "requests", "urllib3", "cronsim", "zoneinfo"})


@pytest.fixture
def small_disk(short_directory: Path) -> Iterator[Path]:
    """The state directory's place is a disk of 48 MB."""
    path = short_directory / "state"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "gitpaas-test", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.needs("root", "sandbox")
@pytest.mark.parametrize("size", [34, 60], ids=["in the export", "in the receive"])
def test_disk_full(small_disk: Path, run_world: RunWorld, size: int) -> None:
    own_world = run_world(MIN_FREE_DISK="1k")  # else no build starts on a disk so small
    app = own_world.new_app()
    app.deploy()
    live = app.remote_main()
    (app.path / "big").write_bytes(os.urandom(size * MEGABYTE))
    app.commit({})

    pushed = app.push()

    assert pushed.code == 1, pushed.output
    assert "rejected" in pushed.output or "No space left" in pushed.output
    assert "Traceback" not in pushed.output
    assert app.remote_main() == live
    assert app.get().body == "version 1"
    app.git("reset", "-q", "--hard", "HEAD~1")
    app.deploy({"version.txt": "version 2"})
    assert app.get().body == "version 2"
