"""Config vars as people change them: many at once under load, beside rollbacks, from files, and under a new key."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from gates import gate

from .conftest import RunWorld
from .programs import Result
from .visitors import load_on
from .world import AppRepo, World

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(900)]

AT_ONCE = 20
NASTY = {
    "KEY": "-----BEGIN\nx\\ny\n-----END\n",
    "PASSWORD": "it's $HOME `id` \"#\\",
    "WORDS": "größer als 1 ",
    "EMPTY": "",
}


def settings(app: AppRepo) -> dict[str, str]:
    """What the rows say."""
    return dict(app.world.ssh_json("config", app.name))


def seen(app: AppRepo, *names: str) -> dict[str, str]:
    """What the app that answers has of these."""
    environment = json.loads(app.get("/env").body)
    return {name: environment[name] for name in names if name in environment}


def all_at_once(app: AppRepo, commands: list[tuple[str, ...]]) -> list[Result]:
    with ThreadPoolExecutor(len(commands)) as people:
        return list(people.map(lambda words: app.world.ssh(words[0], app.name, *words[1:], timeout=300), commands))


def test_twenty_changes_at_once_under_load_lose_no_value_and_fail_no_request(any_world: RunWorld) -> None:
    app = any_world().new_app()
    app.deploy()

    with load_on(app) as load:
        done = all_at_once(app, [("config:set", f"VAR{number}={number}") for number in range(AT_ONCE)])

    assert [result.code for result in done] == [0] * AT_ONCE, done
    assert load.failures == []
    assert load.answers > 0
    wanted = {f"VAR{number}": str(number) for number in range(AT_ONCE)}
    assert settings(app) == seen(app, *wanted) == wanted
    releases = app.world.ssh_json("releases", app.name, "-n", "100")
    assert len(releases) == AT_ONCE + 1
    assert sorted(one["description"] for one in releases if one["description"].startswith("Set")) == sorted(
        f"Set VAR{number}" for number in range(AT_ONCE)
    )


def test_twenty_values_for_one_name_and_a_rollback_at_once(world: World) -> None:
    app = world.new_app()
    app.deploy()
    assert app.ssh("config:set", "TEXT=first", "GONE=1").code == 0
    assert app.ssh("config:unset", "GONE").code == 0

    commands = [("config:set", f"TEXT={number}") for number in range(AT_ONCE)]
    done = all_at_once(app, [*commands, ("rollback", "v2")])

    assert [result.code for result in done] == [0] * (AT_ONCE + 1), done
    releases = app.world.ssh_json("releases", app.name, "-n", "100")
    assert {one["state"] for one in releases} == {"live", "old"}
    assert [one["release"] for one in releases] == list(range(AT_ONCE + 4, 0, -1))
    last_is_the_rollback = releases[0]["description"].startswith("Rollback")
    assert settings(app) == seen(app, "TEXT", "GONE")
    assert (settings(app)["TEXT"] == "first") is last_is_the_rollback
    assert settings(app)["GONE"] == "1"  # no change took back what the rollback brought


def test_values_of_every_kind_go_out_and_in_again(world: World) -> None:
    app, other = world.new_app(), world.new_app()
    app.deploy()
    other.deploy()
    for name, value in NASTY.items():
        done = world.ssh("config:set", app.name, name, "--no-restart", stdin=f"{value}\n")
        assert (done.code, value) == (0 if value else 2, value)
    assert app.ssh("config:set", "EMPTY=").code == 0
    assert seen(app, *NASTY) == NASTY

    for style in ("env", "json"):
        out = world.ssh("config:export", app.name, "--format", style).output
        done = world.ssh("config:import", other.name, "--format", style, "--replace", stdin=out)
        assert done.code == 0, done
        assert settings(other) == seen(other, *NASTY) == NASTY
    script = 'eval "$1" && env -0'
    text = world.ssh("config:export", app.name, "--format", "shell").output
    told = subprocess.run(["sh", "-c", script, "sh", text], env=world.env, capture_output=True, check=True).stdout
    assert {f"{name}={value}" for name, value in NASTY.items()} <= set(told.decode().split("\0"))


def test_a_new_key_is_noticed_by_the_server_and_a_push_that_run(own_world: World) -> None:
    with gate() as held:
        app = own_world.new_app(
            own_world.site() | {"Procfile": f"release: {held.command}\nweb: exec python3 server.py\n"}
        )
        assert own_world.ssh("apps:create", app.name).code == 0
        assert app.ssh("config:set", "TOKEN=s3cret").code == 0
        pushing = app.begin_push()
        pushing.wait_for("Release phase")
        before = (own_world.home / "secret.key").read_bytes()

        done = own_world.gitpaas("config:rekey")

        assert (done.code, "All is sealed with a new key" in done.output) == (0, True)
        assert (own_world.home / "secret.key").read_bytes() != before
        assert own_world.ssh("config:get", app.name, "TOKEN").output == "s3cret\n"
        held.open()
        assert pushing.end().code == 0, pushing.output
    assert seen(app, "TOKEN") == {"TOKEN": "s3cret"}
    # and what the server starts by itself has its values too
    own_world.kill_all("server.py")
    app.wait_for("version 1")
    assert seen(app, "TOKEN") == {"TOKEN": "s3cret"}
