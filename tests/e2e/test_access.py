"""Who gets in over a real ssh, how far, and what nobody gets to see."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from .programs import Result, run, wait_until
from .world import AppRepo, World

pytestmark = pytest.mark.needs("git", "ssh", "ssh-keygen")


def test_key_added_over_ssh_logs_in_with_its_role(world: World) -> None:
    key = world.user / "reader"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], env=world.env, check=True)
    public = key.with_suffix(".pub").read_text()

    assert world.ssh("keys:add", "reader", "--role", "read", stdin=public).code == 0
    assert "reader" in [known["name"] for known in world.ssh_json("keys")]
    assert _as(world, key, "apps").code == 0
    refused = _as(world, key, "apps:create", "not-mine")
    assert refused.code == 3
    assert "role" in refused.errors

    assert world.ssh("keys:remove", "reader").code == 0
    stranger = _as(world, key, "apps")
    assert stranger.code == 255
    assert "Permission denied" in stranger.errors


def test_a_person_who_is_let_in_to_one_app_deploys_that_one_and_sees_no_other(world: World) -> None:
    mine, other = world.new_app(), world.new_app()
    for app in (mine, other):
        app.deploy()
    world.new_key("carol-laptop", "--person", "carol", "--role", "none")
    carol = world.user / "carol-laptop"
    assert _as(world, carol, "apps").output.startswith("No apps")
    assert _push(mine, carol).code != 0

    assert world.ssh("access:add", mine.name, "carol", "--role", "deploy").code == 0
    mine.commit(world.site("by carol"))
    pushed = _push(mine, carol)

    assert pushed.code == 0, pushed.output
    assert 'by carol, key "carol-laptop"' in pushed.output
    mine.wait_for("by carol")
    assert other.name not in _as(world, carol, "apps").output
    assert _as(world, carol, "config:get", other.name, "X").code == 3
    other.commit(world.site("by carol"))
    refused = _push(other, carol)
    assert refused.code != 0
    assert f"There is no app '{other.name}' that your key may see." in refused.output
    events = world.ssh_json("events", mine.name)
    deploy = [event for event in events if event["action"] == "deploy"][-1]
    assert (deploy["by"], deploy["key"], deploy["address"]) == ("carol", "carol-laptop", "127.0.0.1")


def test_a_command_that_a_removed_key_runs_ends(world: World) -> None:
    app = world.new_app()
    app.deploy()
    world.new_key("runner", "--person", "dave", "--role", "none")
    assert world.ssh("access:add", app.name, "dave", "--role", "deploy").code == 0
    command = [*_ssh_as(world, world.user / "runner"), "run", app.name, "--", "sh -c 'echo up; exec sleep 4321'"]
    running = world.begin(command)
    running.wait_for("up")
    assert [one["by"] for one in world.ssh_json("ps", app.name)["one_offs"]] == ["dave"]

    assert world.ssh("access:remove", app.name, "dave").code == 0

    ended = running.end()
    assert ended.code == 3
    assert "What you may do here has become less." in ended.output
    wait_until(lambda: not world.ssh_json("ps", app.name)["one_offs"], "the command to end")


def test_logs_that_a_removed_key_follows_end(world: World) -> None:
    app = world.new_app()
    app.deploy()
    world.new_key("leaver", "--role", "read")
    following = world.begin([*_ssh_as(world, world.user / "leaver"), "logs", app.name, "-t"])
    wait_until(lambda: "gitpaas" in following.output or "web.1" in following.output, "its first lines")

    assert world.ssh("keys:remove", "leaver").code == 0

    assert following.end().code == 3
    assert "Your key has been removed from this server." in following.output


def test_unknown_key_is_told_its_fingerprint_and_what_to_do(world: World) -> None:
    key = world.user / "stranger"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], env=world.env, check=True)
    fingerprint = run(["ssh-keygen", "-lf", str(key)], env=world.env).output.split()[1]

    refused = _as(world, key, "apps")

    assert refused.code == 255
    assert fingerprint in refused.errors
    assert "keys:add" in refused.errors


def test_config_values_are_sealed_on_the_disk(world: World) -> None:
    app = world.new_app()
    app.deploy()
    assert app.ssh("config:set", "TOKEN=do-not-write-this-down", "--no-restart").code == 0

    for path in (*world.home.glob("gitpaas.db*"), *world.root.glob("serve.*"), *world.home.glob("run/*.log")):
        assert b"do-not-write-this-down" not in path.read_bytes(), path


def test_local_commands_are_refused_over_ssh(world: World) -> None:
    for command in ("serve", "init", "stop"):
        assert world.ssh(command).code == 3
    assert world.ssh("receive").code in (2, 3)
    assert world.process is not None
    assert world.process.poll() is None


def test_no_shell_is_behind_the_door(world: World) -> None:
    for words in (["$(touch /tmp/x)"], [";", "id"], ["/bin/sh"], ["apps", "&&", "id"], ["'"]):
        answer = world.ssh(*words)
        assert answer.code == 2, answer
        assert "uid=" not in answer.output


def _as(world: World, key: Path, *args: str) -> Result:
    """`ssh paas ARGS` with another key."""
    return run([*_ssh_as(world, key), *args], env=world.env)


def _push(app: AppRepo, key: Path) -> Result:
    """`git push paas main` with another key."""
    command = shlex.join(_ssh_as(app.world, key)[:-1])
    return run(
        ["git", "push", "paas", "main"], env=app.world.env | {"GIT_SSH_COMMAND": command}, cwd=app.path, merge=True
    )


def _ssh_as(world: World, key: Path) -> list[str]:
    own = world.ssh_config.read_text().splitlines()
    lines = [f"  IdentityFile {key}" if line.strip().startswith("IdentityFile") else line for line in own]
    other = world.user / f"{key.name}_config"
    other.write_text("\n".join(lines) + "\n")
    return ["ssh", "-F", str(other), "paas"]
