"""`git push paas main` as a user lives it: live, failed, repeated, interrupted, overtaken."""

from __future__ import annotations

import re

import pytest
from gates import Gate, gate

from .programs import wait_until
from .world import AppRepo, World, site

pytestmark = pytest.mark.needs("git", "ssh", "ssh-keygen")

BROKEN = {"requirements.txt": "./no-such-directory\n"}


def test_first_push_makes_the_app_and_its_url_answers(world: World) -> None:
    app = world.new_app()

    pushed = app.push()

    assert pushed.code == 0, pushed.output
    assert re.search(rf"^remote: -----> {app.name}: .*\(1 commit\)", pushed.output, re.MULTILINE)
    assert re.search(rf"^remote: =====> {app.name} v1 deployed in [\d.]+s", pushed.output, re.MULTILINE)
    assert f"remote:        http://{app.name}.localhost:{world.http_port}" in pushed.output
    assert "* [new branch]      main -> main" in pushed.output
    assert app.get().body == "version 1"
    assert app.remote_main() == app.git("rev-parse", "HEAD")


def test_change_goes_live_as_the_next_release(world: World) -> None:
    app = world.new_app()
    app.deploy()

    pushed = app.deploy({"version.txt": "version 2"})

    assert f"{app.name} v2 deployed" in pushed.output
    assert app.get().body == "version 2"


def test_failing_build_is_rejected_and_changes_nothing(world: World) -> None:
    app = world.new_app()
    app.deploy()
    good = app.remote_main()
    app.commit(BROKEN)

    pushed = app.push()

    assert pushed.code == 1
    assert "! [remote rejected] main -> main (build failed)" in pushed.output
    assert "v1 keeps serving" in pushed.output
    assert re.search(rf"Whole log: ssh paas builds:output {app.name} \d+", pushed.output)
    assert app.remote_main() == good
    assert app.get().body == "version 1"


def test_same_commit_builds_again_after_a_failure(world: World) -> None:
    app = world.new_app({**site(), **BROKEN})
    assert app.push().code == 1

    again = app.push()

    assert again.code == 1
    assert "[remote rejected] main -> main (build failed)" in again.output
    assert [build["state"] for build in app.builds()] == ["failed", "failed"]
    assert app.remote_main() is None


def test_fixed_commit_goes_live_after_a_failed_first_one(world: World) -> None:
    app = world.new_app({**site(), **BROKEN})
    assert app.push().code == 1
    app.git("rm", "-q", "requirements.txt")

    app.deploy({"version.txt": "fixed"})

    assert app.get().body == "fixed"


def test_other_branch_is_stored_and_says_so(world: World) -> None:
    app = world.new_app()
    app.deploy()
    app.git("checkout", "-q", "-b", "feature")
    tip = app.commit({"version.txt": "feature"})

    pushed = app.push("feature")

    assert pushed.code == 0
    assert re.search(r"remote: -----> feature stored; only main is deployed", pushed.output)
    assert tip in app.git("ls-remote", "paas", "refs/heads/feature")
    assert app.get().body == "version 1"


def test_another_branch_is_deployed_once_it_is_chosen(world: World) -> None:
    app = world.new_app()
    app.deploy()
    app.git("checkout", "-q", "-b", "live")
    app.commit({"version.txt": "version 2"})
    assert app.push("live").code == 0
    assert app.get().body == "version 1"

    told = app.ssh("git:set", "deploy-branch", "live").output
    assert "live is deployed from the next push on." in told
    assert f"ssh paas ps:rebuild {app.name}" in told
    again = app.push("live")
    assert "which was never live" in again.output
    assert app.ssh("ps:rebuild").code == 0
    assert app.get().body == "version 2"

    app.commit({"version.txt": "version 3"})
    assert app.push("live").code == 0
    assert app.get().body == "version 3"
    app.git("checkout", "-q", "main")
    app.commit({"version.txt": "version 4"})
    assert "main stored; only live is deployed" in app.push("main").output
    assert app.get().body == "version 3"


def test_tag_alone_is_stored_and_says_what_is_deployed(world: World) -> None:
    app = world.new_app()
    app.commit({"version.txt": "1"})
    app.git("tag", "-a", "-m", "one", "one")

    pushed = app.push("one")

    assert pushed.code == 0
    assert "tags/one stored; only main or master is deployed (git push paas main)" in pushed.output


def test_master_deploys_when_it_comes_first(world: World) -> None:
    app = world.new_app()
    app.git("branch", "-m", "master")

    pushed = app.push("master")

    assert pushed.code == 0, pushed.output
    assert app.get().body == "version 1"


def test_up_to_date_push_says_what_is_live(world: World) -> None:
    app = world.new_app()
    app.deploy()

    again = app.push()

    assert again.code == 0
    assert "Everything up-to-date" in again.output
    assert re.search(rf"{app.name} v1\b", again.output)
    assert len(app.builds()) == 1


def test_up_to_date_push_after_a_rollback_says_how_to_go_on(world: World) -> None:
    app = world.new_app()
    app.deploy()
    app.deploy({"version.txt": "version 2"})
    assert app.ssh("rollback").code == 0
    assert app.ssh("ps:scale").output == "web=1\n"

    again = app.push()

    assert f"{app.name} v3 " in again.output
    assert f"ssh paas rollback {app.name} v2" in again.output
    assert app.ssh("rollback", "v2").code == 0
    app.wait_for("version 2")


def test_force_push_of_an_older_commit_goes_back(world: World) -> None:
    app = world.new_app()
    app.deploy()
    app.deploy({"version.txt": "version 2"})
    app.git("reset", "-q", "--hard", "HEAD~1")

    refused, forced = app.push(), app.push("--force", "main")

    assert refused.code == 1
    assert "[rejected]" in refused.output
    assert forced.code == 0, forced.output
    assert app.get().body == "version 1"


def test_deploy_branch_cannot_be_deleted(world: World) -> None:
    app = world.new_app()
    app.deploy()

    pushed = app.push(":main")

    assert pushed.code == 1
    assert "[remote rejected] main" in pushed.output
    assert app.get().body == "version 1"


def test_dry_run_makes_nothing(world: World) -> None:
    app = world.new_app()

    pushed = app.push("--dry-run", "main")

    assert pushed.code == 0, pushed.output
    assert app.name not in [listed["name"] for listed in world.ssh_json("apps")]


def test_atomic_push_moves_all_refs_or_none(world: World) -> None:
    app = world.new_app({**site(), **BROKEN})
    app.git("branch", "other")

    failed = app.push("--atomic", "main", "other")
    assert failed.code == 1
    assert app.git("ls-remote", "paas") == ""

    app.git("rm", "-q", "requirements.txt")
    app.commit({"version.txt": "atomic"})
    worked = app.push("--atomic", "main", "other")
    assert worked.code == 0, worked.output
    assert app.git("ls-remote", "paas").count("refs/heads/") == 2
    assert app.get().body == "atomic"


def test_interrupt_detaches_and_the_deploy_finishes(world: World) -> None:
    with gate() as held:
        app = world.new_app(_held("finished alone", held))
        pushing = app.begin_push()
        pushing.wait_for("releasing slowly")

        pushing.interrupt()
        held.open()

        assert pushing.process.returncode != 0
        app.wait_for("finished alone")
        wait_until(lambda: app.remote_main() == app.git("rev-parse", "HEAD"), "the branch to move")


def test_same_commit_again_attaches_to_the_running_build(world: World) -> None:
    with gate() as held:
        app = world.new_app(_held("once", held))
        first = app.begin_push()
        first.wait_for("releasing slowly")
        first.interrupt()

        following = app.begin_push()
        following.wait_for("releasing slowly")
        held.open()
        second = following.end()

    assert second.code == 0, second.output
    assert "releasing slowly" in second.output
    assert f"{app.name} v1 deployed" in second.output
    assert len(app.builds()) == 1
    assert app.get().body == "once"


def test_newer_push_supersedes_the_one_that_waits(world: World) -> None:
    with gate() as held:
        app = world.new_app(_held("first", held))
        first = app.begin_push()
        first.wait_for("releasing slowly")
        app.commit({"version.txt": "second"})
        second = app.begin_push()
        wait_until(lambda: len(app.builds()) == 2, "the second push to take its ticket")
        app.commit({"version.txt": "third"})

        newest = app.begin_push()
        overtaken = second.end()
        held.open()
        third = newest.end()
        assert first.end().code == 0, first.output

    assert overtaken.code == 1
    assert "(superseded by a newer push)" in overtaken.output
    assert third.code == 0, third.output
    assert app.get().body == "third"
    assert sorted(build["state"] for build in app.builds()) == ["live", "live", "superseded"]
    assert app.remote_main() == app.git("rev-parse", "HEAD")


def test_two_apps_build_at_the_same_time(world: World) -> None:
    with gate() as held:
        left, right = (world.new_app(_held(text, held)) for text in ("left", "right"))
        pushes = [app.begin_push() for app in (left, right)]

        for push in pushes:
            push.wait_for("releasing slowly")

        assert all(push.process.poll() is None for push in pushes)
        held.open()
        assert [push.end().code for push in pushes] == [0, 0]
    assert (left.get().body, right.get().body) == ("left", "right")


def test_clone_gives_back_what_was_pushed(world: World) -> None:
    app = world.new_app()
    app.deploy()
    app.deploy({"version.txt": "version 2"})

    copy = AppRepo(world, f"{app.name}-copy")
    copy.git("clone", "-q", "--depth", "1", f"paas:{app.name}", "again")

    assert (copy.path / "again" / "version.txt").read_text() == "version 2"


def _held(text: str, gate: Gate) -> dict[str, str]:
    """A site whose release phase waits at the gate, so that its deploy can be caught half-way."""
    release = f"release: echo releasing slowly; {gate.command}\n"
    return site(text) | {"Procfile": f"{release}web: exec python3 server.py\n"}
