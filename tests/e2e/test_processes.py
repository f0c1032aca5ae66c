"""Processes of an app as people handle them: over SSH, on each runtime."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
import time
from typing import Any

from .conftest import RunWorld
from .programs import wait_until
from .world import GITPAAS, AppRepo, World

WORKERS = "\nworker: sleep 600\ngreedy: python3 -c 'data = bytearray(300000000)'\n"


def deployed(world: World) -> AppRepo:
    files = world.site()
    app = world.new_app({**files, "Procfile": files["Procfile"].splitlines()[0] + WORKERS})
    app.deploy()
    return app


def instances(world: World, app: AppRepo) -> dict[str, dict[str, Any]]:
    shown = world.ssh_json("ps", app.name)
    return {one["name"]: one for one in shown["instances"] if one["status"] != "draining"}


def states(world: World, app: AppRepo) -> dict[str, str]:
    absent = {one["name"]: one["status"] for one in world.ssh_json("ps", app.name)["absent"]}
    return {name: one["status"] for name, one in instances(world, app).items()} | absent


def test_one_is_stopped_started_and_replaced_while_the_rest_runs(any_world: RunWorld) -> None:
    world = any_world()
    app = deployed(world)
    assert app.ssh("ps:scale", "web=2", "worker=1").code == 0
    assert app.ssh("ps:stop", "worker").code == app.ssh("ps:stop", "web.2").code == 0
    world.kill()
    world.start(60)
    wait_until(
        lambda: states(world, app) == {"web.1": "running", "web.2": "stopped", "worker.1": "stopped"}, "what is held"
    )
    refused: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            if (status := app.get().status) != 200:
                refused.append(status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        before = app.get("/pid").body
        assert app.ssh("ps:restart", "web.1").code == 0
        assert world.runtime == "docker" or app.get("/pid").body != before  # in a container it is 1 or 7 each time
    finally:
        over.set()
        asking.join()
    assert refused == []
    assert app.ssh("ps:stop", "web").code == 0
    assert (app.get().status, "stopped" in app.get().body.lower()) == (503, True)
    assert app.ssh("ps:start").code == 0
    assert app.get().status == 200
    wait_until(lambda: set(states(world, app).values()) == {"running"}, "all of it")
    missing = app.ssh("ps:stop", "web.3")
    assert missing.code == 2
    assert "There is: web.1 to web.2." in missing.errors


def test_limits_hold_and_what_they_end_is_told(any_world: RunWorld) -> None:
    world = any_world()
    app = deployed(world)
    told = app.ssh("resource:limit", "-p", "greedy", "--memory", "48m")
    assert "greedy: memory 48 MB" in told.output
    assert app.ssh("resource:limit", "--memory", "9000g").code == 2
    assert app.ssh("ps:scale", "greedy=1").code == 0

    def last_exit() -> dict[str, Any]:
        return instances(world, app).get("greedy.1", {}).get("last_exit") or {}

    wait_until(lambda: bool(last_exit().get("oom")), "the end for want of memory")
    wait_until(lambda: "crash-loop" in app.ssh("events").output, "the crash loop among the events", 120)
    events = app.ssh("events").output
    assert f"out-of-memory {app.name} failed: greedy.1 v1 ran out of memory" in events
    assert f"crash-loop {app.name} failed: greedy.1 keeps crashing" in events
    text = app.ssh("ps").output
    assert "no memory" in text
    assert f"To give more: ssh paas resource:limit {app.name} -p greedy --memory SIZE" in text
    assert max(map(len, text.splitlines()[:4])) <= 80
    web = instances(world, app)["web.1"]
    assert web["memory"] > 1024**2
    assert web["cpu_percent"] is not None


def test_top_is_live_at_a_terminal_and_leaves_it_as_it_was(any_world: RunWorld) -> None:
    world = any_world()
    app = deployed(world)
    assert f"{app.name}  web.1" in world.ssh("top").output
    assert "web.1" in at_a_terminal(world, "q", "ssh", "-tt", "-F", str(world.ssh_config), "paas", "top")
    assert "web.1" in at_a_terminal(world, "\x03", str(GITPAAS), "top", app.name)


def at_a_terminal(world: World, key: str, *argv: str) -> str:
    """What it shows until this key is typed, once it shows an instance."""
    ours, theirs = pty.openpty()
    env = world.env | {"TERM": "xterm"}
    program = subprocess.Popen(argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        shown = read_until(ours, b"web.1")
        os.write(ours, key.encode())
        shown += read_until(ours, b"\x1b[?1049l")
        assert program.wait(timeout=60) == 0
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    return shown.decode()


def read_until(terminal: int, wanted: bytes) -> bytes:
    shown, deadline = b"", time.monotonic() + 60
    while wanted not in shown:
        assert time.monotonic() < deadline, shown
        shown += os.read(terminal, 4096)
    return shown
