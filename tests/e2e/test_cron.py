"""Cron, end to end: an entry runs by the real clock, its log is there, and a stop of the server is told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from .conftest import RunWorld
from .world import AppRepo, World, wait_until

pytestmark = pytest.mark.needs("git", "ssh", "ssh-keygen")

ENTRY = {"name": "tick", "command": "echo ticked as $GITPAAS_CRON", "schedule": "* * * * *", "timezone": "Asia/Tokyo"}
BY_HAND = {"name": "yearly", "command": "exit 5", "schedule": "@yearly"}


def tick(app: AppRepo) -> dict[str, Any]:
    return dict(app.world.ssh_json("cron", app.name)[0])


def has_run(app: AppRepo) -> bool:
    last = tick(app)["last"]
    return last is not None and last["exit_code"] == 0


def move_back(world: World, seconds: float) -> None:
    """As if the server had been stopped so much earlier."""
    with closing(sqlite3.connect(world.home / "gitpaas.db")) as database, database:
        database.execute("UPDATE schedule SET looked_at = looked_at - ?", (seconds,))


@pytest.mark.timeout(900)
def test_an_entry_runs_at_its_minute_and_a_stop_of_the_server_is_told(any_world: RunWorld) -> None:
    world = any_world()
    app = world.new_app(world.site() | {"app.json": json.dumps({"cron": [ENTRY, BY_HAND]})})
    assert "Cron: tick (* * * * *, Asia/Tokyo), yearly (@yearly, UTC)" in app.deploy().output

    wait_until(lambda: has_run(app), "the entry to have run", seconds=180)
    wait_until(lambda: "ticked as tick" in app.ssh("logs", "-p", "cron").output, "its log")
    assert tick(app)["missed"] is None

    world.stop()
    move_back(world, 300)
    world.start()

    wait_until(lambda: tick(app)["missed"] is not None, "what was missed to be told")
    said = "Asia/Tokyo: the server was stopped"
    assert tick(app)["missed"]["runs"] >= 4
    assert said in app.ssh("cron").output
    wait_until(lambda: said in world.ssh("events", app.name).output, "an event")
    wait_until(lambda: said in app.ssh("logs", "-p", "gitpaas").output, "a line in the app's log")

    ran = app.ssh("cron:run", "yearly", "--wait")
    assert ran.code == 5, ran
    assert "exited with 5" in ran.output
