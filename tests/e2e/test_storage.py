"""Storage of an app: there for every release of it, and for nobody else; and what `events` tells of it all."""

from __future__ import annotations

import pytest

from .conftest import RunWorld
from .programs import wait_until

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen", "sandbox"), pytest.mark.timeout(900)]


def test_what_is_in_it_outlives_releases_until_it_is_destroyed(any_world: RunWorld) -> None:
    world = any_world()
    app, other = world.new_app(), world.new_app()
    app.deploy()
    assert app.get("/write?path=/data/kept&text=words").status == 403
    mounted = world.ssh("storage:mount", app.name, "data:/data")
    assert f"ps:restart {app.name}" in mounted.output
    assert world.ssh("ps:restart", app.name).code == 0

    assert app.get("/write?path=/data/kept&text=words").body == "written"
    app.deploy({"version.txt": "version 2"})
    assert app.get("/read?path=/data/kept").body == "words"
    other.deploy()
    assert other.get("/read?path=/data/kept").status == 403

    assert world.ssh("storage:unmount", app.name, "data").code == 0
    world.ssh("ps:restart", app.name)
    assert app.get("/read?path=/data/kept").status == 403
    assert world.ssh_json("storage", app.name) == [{"name": "data", "path": None}]
    world.ssh("storage:mount", app.name, "data:/srv/again")
    world.ssh("ps:restart", app.name)
    assert app.get("/read?path=/srv/again/kept").body == "words"

    world.ssh("storage:unmount", app.name, "data")
    world.ssh("ps:restart", app.name)
    destroy = ("storage:destroy", app.name, "data", "--confirm", "data")  # once the last instance that had it is gone
    wait_until(lambda: world.ssh(*destroy).code == 0, "the storage to be destroyed")
    assert world.ssh_json("storage", app.name) == []


def test_events_tell_who_did_what(any_world: RunWorld) -> None:
    world = any_world()
    app = world.new_app()
    app.deploy()
    following = world.begin_ssh("events", app.name, "-t", "-n", "1")
    following.wait_for(f"deploy {app.name} ok: ")
    world.ssh("config:set", app.name, "TOKEN=s3cret")
    following.wait_for(f"config:set {app.name} ok: TOKEN")
    app.commit({"Procfile": "web: false\n"})
    assert app.push().code == 1
    following.wait_for(f"deploy {app.name} failed: ")
    following.interrupt()

    events = world.ssh_json("events", app.name)
    assert [(event["action"], event["result"]) for event in events if event["by"] == "tester"] == [
        ("deploy", "ok"),
        ("config:set", "ok"),
        ("deploy", "failed"),
    ]
    assert {event["address"] for event in events} == {"127.0.0.1"}
    assert "s3cret" not in world.ssh("events").output
