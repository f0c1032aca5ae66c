"""Going back, by rollback or with git alone; and releases as git's own log tells them."""

from __future__ import annotations

import re

import pytest

from .conftest import RunWorld
from .programs import wait_until
from .world import AppRepo, World

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(900)]


def follow_releases(app: AppRepo) -> None:
    """The two lines of README."""
    app.git("config", "--add", "remote.paas.fetch", "+refs/releases/*:refs/remotes/paas/releases/*")
    app.git("config", "--add", "notes.displayRef", "refs/remotes/*/releases/notes")


def test_deploy_break_and_back_again(any_world: RunWorld) -> None:
    world = any_world()
    app = world.new_app()
    app.deploy()
    app.deploy({"version.txt": "broken"})
    assert app.get().body == "broken"

    back = app.ssh("rollback")

    assert back.code == 0, back.output
    assert f"{app.name} v3 is live: Rollback to v1" in back.output
    assert app.get().body == "version 1"
    # and the same with git alone: a force push of the older commit, over a newer one
    app.deploy({"version.txt": "broken again"})
    app.git("reset", "-q", "--hard", "HEAD~2")
    forced = app.push("--force", "main")
    assert forced.code == 0, forced.output
    assert "-----> Using the build of v3: same tree, builder and config vars" in forced.output
    assert "app detected" not in forced.output
    assert app.get().body == "version 1"
    # as does a revert: another commit, a known tree
    app.git("commit", "-q", "--allow-empty", "-m", "As it was")
    assert "Using the build of v5" in app.push().output
    newest, *_, third, _, _ = app.world.ssh_json("releases", app.name)
    assert (newest["subject"], third["description"]) == ("As it was", "Rollback to v1")


def test_rollback_to_what_is_not_kept_builds_it_again(any_world: RunWorld) -> None:
    app = any_world(KEEP_RELEASES=1).new_app()
    app.deploy()
    app.ssh("config:set", "A=1")
    app.deploy({"version.txt": "version 2"})
    app.ssh("config:set", "A=2")
    # once the old instance, which used it, has gone
    wait_until(lambda: app.ssh("disk:prune") and "not kept" in app.ssh("releases:info", "v2").output, "v1 to go")

    back = app.ssh("rollback", "v2")

    assert back.code == 0, back.output
    assert re.search(r"v2 \([0-9a-f]{7}\) is built again for a rollback, by ", back.output)
    assert f"{app.name} v5 deployed" in back.output
    assert app.get().body == "version 1"
    assert app.ssh("config:get", "A").output == "1\n"


def test_pinned_release_is_kept(run_world: RunWorld) -> None:
    app = run_world(KEEP_RELEASES=1).new_app()
    app.deploy()
    assert app.ssh("releases:pin", "v1").code == 0
    app.deploy({"version.txt": "version 2"})
    app.deploy({"version.txt": "version 3"})

    assert "v4 is live: Rollback to v1" in app.ssh("rollback", "v1").output
    assert app.get().body == "version 1"


def test_git_fetch_and_git_log_show_the_releases(world: World) -> None:
    app = world.new_app()
    app.deploy()
    app.git("notes", "add", "-m", "a note of one's own")
    first = app.git("rev-parse", "HEAD")
    app.deploy({"version.txt": "version 2"})
    app.ssh("rollback")
    follow_releases(app)

    app.git("fetch", "-q", "paas")

    log = app.git("log", "--decorate")
    assert "paas/releases/v2" in log
    assert re.search(rf"v1  \S+ \S+ UTC  Deploy {first[:7]}, by tester\n\s+v3  .* Rollback to v1, by tester", log)
    assert "a note of one's own" in log
    assert app.git("rev-parse", "paas/releases/v3") == first
    assert app.git("diff", "--name-only", "paas/releases/v2", "paas/releases/v3") == "version.txt"
    # the next release arrives in the same way, and nothing is left to do
    app.deploy({"version.txt": "version 4"})
    app.git("fetch", "-q", "paas")
    assert "v4  " in app.git("log", "-1")
    assert app.git("fetch", "--prune", "paas") == ""


def test_pushes_neither_see_nor_write_releases(world: World) -> None:
    app = world.new_app()
    app.deploy()
    before = app.git("ls-remote", "paas", "refs/releases/v1", "refs/notes/releases")
    app.git("notes", "--ref=releases", "add", "-m", "v9  by somebody else")
    app.git("notes", "add", "-m", "mine")

    for refused in ("HEAD:refs/releases/v9", "+HEAD:refs/releases/v1", ":refs/releases/v1", "+refs/notes/releases"):
        pushed = app.push(refused)
        assert pushed.code == 1, pushed.output
        assert "rejected" in pushed.output or "does not match any" in pushed.output or "not exist" in pushed.output

    assert app.push("refs/notes/commits").code == 0
    assert "refs/notes/commits" in app.git("ls-remote", "paas")
    assert app.git("ls-remote", "paas", "refs/releases/v1", "refs/notes/releases") == before


def test_scripts_and_the_release_phase_are_told_and_kept(any_world: RunWorld) -> None:
    world = any_world()
    scripts = '{"scripts": {"postdeploy": "echo seeded", "dokku": {"predeploy": "echo prepared $GITPAAS_RELEASE"}}}'
    files = world.site()
    app = world.new_app({**files, "app.json": scripts, "Procfile": f"release: echo migrated\n{files['Procfile']}"})

    pushed = app.deploy()

    places = [pushed.output.index(words) for words in ("prepared v1", "migrated", "Starting web.1", "seeded")]
    assert places == sorted(places)
    shown = app.ssh("releases:output").output
    assert "prepared v1" in shown
    assert "seeded" in shown
    assert "Starting" not in shown

    app.commit({"app.json": '{"scripts": {"dokku": {"postdeploy": "exit 5"}}}'})
    assert "Postdeploy exited with 5. v2 is live all the same." in app.deploy().output
    first, second = (event for event in world.ssh_json("events", app.name) if event["action"] == "deploy")
    assert (first["result"], second["result"]) == ("ok", "failed")
    assert f" deploy {app.name} failed: {second['text']}" in app.ssh("events").output
    assert second["text"].endswith(" v2: Live, but: Postdeploy exited with 5")
    assert app.get().status == 200
