"""Redeploys under load: not one request fails, and what is open at the switch is let to its end."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from websockets.asyncio.client import connect

from .conftest import RunWorld
from .programs import wait_until
from .visitors import RATE, load_on

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(1200)]

REDEPLOYS = 20
DRAIN = 20  # seconds; by then somebody at a busy machine has seen that what is open goes on


def test_redeploys_under_load_fail_no_request(any_world: RunWorld) -> None:
    app = any_world().new_app()
    app.deploy()

    with load_on(app) as load:
        for number in range(2, REDEPLOYS + 2):
            before = load.answers
            app.deploy({"version.txt": f"version {number}"})
            assert load.answers > before
        wait_until(lambda: load.answers > RATE * 5, "a thousand answers")

    assert load.failures == []
    assert app.get().body == f"version {REDEPLOYS + 1}"


def test_scaled_app_is_redeployed_and_restarted_without_a_failure(any_world: RunWorld) -> None:
    app = any_world().new_app()
    app.deploy()

    with load_on(app) as load:
        assert app.ssh("ps:scale", "web=3").code == 0
        app.deploy({"version.txt": "version 2"})
        assert app.ssh("ps:restart").code == 0
        assert app.ssh("config:set", "COLOUR=green").code == 0
        assert app.ssh("ps:scale", "web=1").code == 0
        assert app.ssh("rollback").code == 0

    assert load.failures == []


def test_other_apps_never_notice(any_world: RunWorld) -> None:
    world = any_world()
    quiet, busy = world.new_app(world.site("quiet")), world.new_app()
    quiet.deploy()
    sockets = set()

    with closing(world.connect()) as kept:
        for number in range(3):
            busy.deploy({"version.txt": f"version {number}"})
            kept.request("GET", "/", headers={"Host": f"{quiet.name}.localhost"})
            assert kept.getresponse().read() == b"quiet"
            sockets.add(kept.sock)

    assert len(sockets) == 1, "the keep-alive connection was cut"


def test_slow_request_ends_on_the_release_it_began_on(any_world: RunWorld) -> None:
    app = any_world(DRAIN_TIMEOUT=60).new_app()
    app.deploy()

    with ThreadPoolExecutor(1) as visitors:
        slow = visitors.submit(app.get, "/slow?s=3")
        wait_until(lambda: app.get("/begun").body == "1", "the request to have reached the app")
        app.deploy({"version.txt": "version 2"})
        assert app.get().body == "version 2"

        assert slow.result().body == "version 1"


def test_event_stream_goes_on_across_the_switch(any_world: RunWorld) -> None:
    world = any_world(DRAIN_TIMEOUT=60)
    app = world.new_app()
    app.deploy()

    with closing(world.connect()) as visitor:
        visitor.request("GET", "/events?n=40", headers={"Host": f"{app.name}.localhost"})  # four seconds of events
        stream = visitor.getresponse()
        first = stream.readline()  # it has begun
        app.deploy({"version.txt": "version 2"})
        assert app.get().body == "version 2"

        text = (first + stream.read()).decode()
        assert text.split("\n\n")[:-1] == [f"data: version 1 {number}" for number in range(40)]


def test_websocket_goes_on_across_the_switch_until_the_drain_ends(any_world: RunWorld) -> None:
    world = any_world(DRAIN_TIMEOUT=DRAIN)
    app = world.new_app()
    app.deploy()

    async def talk() -> None:
        uri = f"ws://{app.name}.localhost:{world.http_port}/socket"
        how = {"host": "127.0.0.1", "port": world.http_port, "proxy": None, "open_timeout": 60}
        async with connect(uri, **how) as socket:
            assert await _echo(socket, "hello") == "version 1 hello"
            before = time.monotonic()
            await asyncio.to_thread(app.deploy, {"version.txt": "version 2"})
            assert await _echo(socket, "still here") == "version 1 still here"
            await asyncio.wait_for(socket.wait_closed(), timeout=DRAIN + 100)
            assert time.monotonic() - before > DRAIN
        async with connect(uri, **how) as socket:
            assert await _echo(socket, "hello") == "version 2 hello"

    asyncio.run(talk())


async def _echo(socket: object, text: str) -> str:
    await socket.send(text)  # type: ignore[attr-defined]
    return str(await asyncio.wait_for(socket.recv(), timeout=60))  # type: ignore[attr-defined]
