"""Roll-outs one by one on each runtime, under load; and builds that somebody changes his mind about."""

from __future__ import annotations

import time

import engine
import processes
import pytest

from .conftest import RunWorld
from .programs import wait_until
from .test_zero_downtime import load_on
from .world import DOCKERFILE

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(900)]


def test_a_few_at_a_time_fail_no_request(any_world: RunWorld) -> None:
    app = any_world(MAX_SURGE="1").new_app()
    app.deploy()
    assert app.ssh("ps:scale", "web=3").code == 0

    with load_on(app) as load:
        shown = app.deploy({"version.txt": "version 2"}).output
        assert app.ssh("ps:restart").code == 0
        app.commit({"Procfile": 'web: test "$GITPAAS_PROCESS" != web.3 && exec python3 server.py\n'})
        refused = app.push()

    steps = [line.split()[2] for line in shown.splitlines() if "Starting web." in line or "Health check" in line]
    assert steps == ["Starting", "Health"] * 3
    assert refused.code == 1
    assert "Bringing v2 back" in refused.output
    assert "web.3 exited with 1 before it answered. v2 keeps serving." in refused.output
    assert load.failures == []
    assert app.get().body == "version 2"
    wait_until(lambda: len(app.world.ssh_json("ps", app.name)["instances"]) == 3, "what was begun to be gone")


def test_cancelled_push_is_refused_and_says_who_did_it(any_world: RunWorld) -> None:
    app = any_world().new_app()
    app.deploy()
    app.commit({"Procfile": "release: sleep 600\nweb: exec python3 server.py\n"})
    pushing = app.begin_push()
    wait_until(lambda: app.builds()[0]["state"] == "releasing", "the release phase", seconds=60)

    cancelled = app.ssh("builds:cancel")

    assert (cancelled.code, cancelled.output) == (0, "Build 2 has ended: Cancelled by tester\n")
    pushed = pushing.end()
    assert pushed.code == 1
    assert "Cancelled by tester. v1 keeps serving." in pushed.output
    assert "[remote rejected] main -> main (build failed)" in pushed.output
    assert app.get().body == "version 1"
    app.deploy({"Procfile": "web: exec python3 server.py\n", "version.txt": "version 3"})
    assert app.get().body == "version 3"


@pytest.mark.needs("root", "docker", "buildkit")
def test_cancelled_build_of_an_image_ends_at_once(run_world: RunWorld) -> None:
    world, nap = run_world(RUNTIME="docker", **engine.settings()), str(time.time_ns() // 10**6)
    app = world.new_app({**world.site(), "Dockerfile": f"{DOCKERFILE}RUN sleep {nap}\n"})
    pushing = app.begin_push()
    wait_until(lambda: bool(processes.mentioning(nap)), "the step to run", seconds=120)

    assert app.ssh("builds:cancel").output == "Build 1 has ended: Cancelled by tester\n"

    assert "Cancelled by tester. Nothing is live yet." in pushing.end().output
    assert world.pids("buildctl") == []
    wait_until(lambda: not processes.mentioning(nap), "the build's own process to be gone")


def test_directory_of_the_repository_is_the_app(any_world: RunWorld) -> None:
    world = any_world()
    app = world.new_app({f"apps/site/{name}": text for name, text in world.site().items()})
    assert app.ssh("apps:create").code == 0
    assert app.push().code == 1
    assert app.ssh("builds:set", "root=apps/site").code == 0

    app.deploy()

    assert app.get().body == "version 1"
    assert app.world.ssh_json("builds:info", app.name)["state"] == "live"
