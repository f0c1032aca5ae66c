"""Who gets in over a real ssh, how far, and what nobody gets to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from .programs import Result, run
from .world import World

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
    own = world.ssh_config.read_text().splitlines()
    lines = [f"  IdentityFile {key}" if line.strip().startswith("IdentityFile") else line for line in own]
    other = world.user / "other_config"
    other.write_text("\n".join(lines) + "\n")
    return run(["ssh", "-F", str(other), "paas", *args], env=world.env)
