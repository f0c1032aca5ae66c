"""Everything that can be killed or can fill up, killed and filled up. Nothing is lost and the next push works."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from .conftest import RunWorld
from .programs import wait_until
from .world import World, site

pytestmark = pytest.mark.needs("git", "ssh", "ssh-keygen")

HOOK = "gitpaas\0receive"  # as it stands in the argv of the process that a hook has become
MEGABYTE = 1024 * 1024


def test_server_killed_in_a_receive(own_world: World) -> None:
    app = own_world.new_app()
    app.deploy()
    live = app.remote_main()
    (app.path / "big").write_bytes(os.urandom(64 * MEGABYTE))
    app.commit({})
    pushing = app.begin_push_that_is_held(after=20 * MEGABYTE)
    objects = own_world.home / "repos" / f"{app.name}.git" / "objects"
    wait_until(lambda: _size(objects) > 8 * MEGABYTE, "the pack to be on its way")

    own_world.kill()

    assert pushing.end().code != 0
    own_world.start()
    assert app.remote_main() == live
    assert app.get().body == "version 1"
    app.deploy({"version.txt": "version 2"})
    assert app.get().body == "version 2"
    assert not [path for path in objects.iterdir() if len(path.name) != 2 and path.name not in ("info", "pack")]


HELD = """#!/bin/sh
[ "$1" = prepared ] && grep -q " refs/tags/" || exit 0
rm "$0"
kill -9 $(sed -n "s/^PPid:[^0-9]*//p" /proc/$PPID/status) $PPID
"""


def test_server_killed_with_its_git_while_tags_are_half_written(own_world: World) -> None:
    # given an app, and a server that dies with the locks of tags in its git's hands
    app = own_world.new_app()
    app.deploy()
    for tag in ("v1", "v2"):
        app.git("tag", tag)
    repository = own_world.home / "repos" / f"{app.name}.git"
    hook = repository / "hooks" / "reference-transaction"
    hook.write_text(HELD)
    hook.chmod(0o755)
    assert app.push("--tags").code != 0
    assert own_world.process
    own_world.process.wait(timeout=60)
    assert {lock.name for lock in repository.rglob("*.lock")} == {"v1.lock", "v2.lock"}
    # when it is there again
    own_world.start()
    # then the same push goes through, and the app is as it was
    pushed = app.push("--tags")
    assert pushed.code == 0, pushed
    assert own_world.get(app.name).status == 200
    assert list(repository.rglob("*.lock")) == []


def test_server_killed_in_a_build(own_world: World) -> None:
    app = own_world.new_app(slow_release("built alone"))
    pushing = app.begin_push()
    pushing.wait_for("releasing slowly")

    own_world.kill()
    pushing.end()
    own_world.start()

    app.wait_for("built alone")
    wait_until(lambda: [build["state"] for build in app.builds()] == ["live"], "the build to end")
    assert app.remote_main() == app.git("rev-parse", "HEAD")
    app.deploy({"version.txt": "version 2"})
    assert app.get().body == "version 2"


def test_build_finishes_while_no_server_runs(own_world: World) -> None:
    app = own_world.new_app(slow_release("built alone"))
    pushing = app.begin_push()
    pushing.wait_for("releasing slowly")

    own_world.stop()

    repository = own_world.home / "repos" / f"{app.name}.git"
    wait_until(lambda: (repository / "refs" / "heads" / "main").exists(), "the branch to move")
    pushing.end()
    own_world.start()
    app.wait_for("built alone")


@pytest.mark.parametrize("moment", ["Starting web.1", "Health check"])
def test_everything_killed_in_a_switch(own_world: World, moment: str) -> None:
    app = own_world.new_app()
    app.deploy()
    app.commit({"version.txt": "version 2"})
    pushing = app.begin_push()
    pushing.wait_for(moment)

    own_world.kill_all(HOOK)
    own_world.kill()

    pushing.end()
    own_world.start()
    wait_until(lambda: app.get().status == 200, "some release to serve")
    served = app.get().body
    assert served in ("version 1", "version 2")
    settled = app.push()
    assert settled.code == 0, settled.output
    assert app.get().body == "version 2"
    wait_until(lambda: len(own_world.ssh_json("ps", app.name)["instances"]) == 1, "one instance to be left")


def test_server_killed_in_a_switch(own_world: World) -> None:
    app = own_world.new_app()
    app.deploy()
    app.commit({"version.txt": "version 2"})
    pushing = app.begin_push()
    pushing.wait_for("Starting web.1")

    own_world.kill()

    pushing.end()
    own_world.start()
    app.wait_for("version 2")
    wait_until(lambda: app.remote_main() == app.git("rev-parse", "HEAD"), "the branch to move")


def test_hook_killed_in_a_build(own_world: World) -> None:
    app = own_world.new_app()
    app.deploy()
    live = app.remote_main()
    app.commit(slow_release("version 2", seconds=30))
    pushing = app.begin_push()
    pushing.wait_for("releasing slowly")

    assert own_world.kill_all(HOOK) >= 1

    assert pushing.end().code == 1
    assert "[remote rejected] main -> main" in pushing.output
    assert app.remote_main() == live
    assert app.get().body == "version 1"
    wait_until(lambda: app.builds()[0]["state"] == "failed", "the build to be found dead")
    app.deploy(site("version 3"))
    assert app.get().body == "version 3"


def test_router_killed(own_world: World) -> None:
    apps = [own_world.new_app(site(text)) for text in ("left", "right")]
    for app in apps:
        app.deploy()

    assert own_world.kill_all("caddy", "run") >= 1

    wait_until(lambda: own_world.routes(apps[0].name), "the router to be back")
    assert [app.get().body for app in apps] == ["left", "right"]
    apps[0].deploy({"version.txt": "left again"})
    assert apps[0].get().body == "left again"


def test_client_gone_in_a_build(own_world: World) -> None:
    app = own_world.new_app(slow_release("nobody watched"))
    pushing = app.begin_push()
    pushing.wait_for("releasing slowly")

    pushing.kill()

    app.wait_for("nobody watched")
    app.deploy({"version.txt": "version 2", "Procfile": site()["Procfile"]})
    assert app.get().body == "version 2"


def test_client_gone_in_a_receive(own_world: World) -> None:
    app = own_world.new_app()
    (app.path / "big").write_bytes(os.urandom(64 * MEGABYTE))
    app.commit({})
    pushing = app.begin_push_that_is_held(after=20 * MEGABYTE)
    wait_until(lambda: _size(own_world.home / "repos") > 8 * MEGABYTE, "the pack to be on its way")

    pushing.kill()

    app.git("reset", "-q", "--hard", "HEAD~1")
    app.deploy()
    assert app.get().body == "version 1"


def test_apps_keep_running_while_the_server_restarts(own_world: World) -> None:
    app = own_world.new_app()
    app.deploy()
    before = app.get("/pid").body

    own_world.stop()
    own_world.start()

    assert app.get("/pid").body == before


def test_no_request_is_lost_while_the_server_is_replaced(run_world: RunWorld) -> None:
    own_world = run_world()
    app = own_world.new_app()
    app.deploy()
    own_world.stop()
    assert own_world.gitpaas("start").code == 0
    statuses: list[int] = []
    replaced = threading.Event()

    def ask() -> None:
        while not replaced.is_set():
            statuses.append(app.get().status)

    asking = threading.Thread(target=ask)
    asking.start()
    restarted = own_world.gitpaas("restart")
    replaced.set()
    asking.join()

    assert restarted.code == 0
    assert len(statuses) > 3
    assert set(statuses) == {200}
    assert own_world.gitpaas("stop").code == 0


def test_everything_killed_comes_back(own_world: World) -> None:
    """As after a reboot: not one process is left, and the next start brings every app back."""
    app = own_world.new_app()
    app.deploy()
    before = app.get("/pid").body

    own_world.kill()
    own_world.kill_all()
    own_world.gitpaas("stop", "--apps")
    own_world.start()

    app.wait_for("version 1")
    assert app.get("/pid").body != before


def test_crashed_instance_is_started_again(own_world: World) -> None:
    app = own_world.new_app()
    app.deploy()
    before = app.get("/pid").body

    app.get("/crash")

    wait_until(lambda: app.get("/pid").body not in ("", before) and app.get().status == 200, "a new instance")
    assert "web.1 exited with 3" in app.ssh("logs").output


def slow_release(text: str, seconds: int = 3) -> dict[str, str]:
    release = f"release: echo releasing slowly; sleep {seconds}\n"
    return site(text) | {"Procfile": f"{release}web: exec python3 server.py\n"}


def _size(directory: Path) -> int:
    """Of all files, while they come and go: not by Path.rglob, which raises when a directory does."""
    return sum(_bytes(Path(root, name)) for root, _, names in os.walk(directory) for name in names)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # moved out of quarantine meanwhile
        return 0
