"""Redeploys under load: not one request fails, and what is open at the switch is let to its end."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import connect

from .conftest import RunWorld
from .world import AppRepo, World

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(400)]

REDEPLOYS = 20
RATE = 200  # requests a second, over all threads
THREADS = 4


@dataclass
class Load:
    """What the visitors saw. `failures`: anything but a 200 with a version in it."""

    answers: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, failure: str | None) -> None:
        with self.lock:
            self.answers += 1
            if failure:
                self.failures.append(failure)


def test_redeploys_under_load_fail_no_request(any_world: RunWorld) -> None:
    app = any_world().new_app()
    app.deploy()

    with load_on(app) as load:
        for number in range(2, REDEPLOYS + 2):
            app.deploy({"version.txt": f"version {number}"})

    assert load.failures == []
    assert load.answers > RATE * 5
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
    app = any_world().new_app()
    app.deploy()

    with ThreadPoolExecutor(1) as visitors:
        slow = visitors.submit(app.get, "/slow?s=3")
        app.deploy({"version.txt": "version 2"})
        assert app.get().body == "version 2"

        assert slow.result().body == "version 1"


def test_event_stream_goes_on_across_the_switch(any_world: RunWorld) -> None:
    app = any_world().new_app()
    app.deploy()

    with ThreadPoolExecutor(1) as visitors:
        stream = visitors.submit(app.get, "/events?n=40")  # four seconds of events
        app.deploy({"version.txt": "version 2"})
        assert app.get().body == "version 2"

        assert stream.result().body.split("\n\n")[:-1] == [f"data: version 1 {number}" for number in range(40)]


def test_websocket_goes_on_across_the_switch_until_the_drain_ends(any_world: RunWorld) -> None:
    world = any_world(DRAIN_TIMEOUT=4)
    app = world.new_app()
    app.deploy()

    async def talk() -> None:
        uri = f"ws://{app.name}.localhost:{world.http_port}/socket"
        async with connect(uri, host="127.0.0.1", port=world.http_port, proxy=None) as socket:
            assert await _echo(socket, "hello") == "version 1 hello"
            await asyncio.to_thread(app.deploy, {"version.txt": "version 2"})
            assert await _echo(socket, "still here") == "version 1 still here"
            switched = time.monotonic()
            with suppress(Exception):
                await asyncio.wait_for(socket.wait_closed(), timeout=20)
            assert 1 < time.monotonic() - switched < 15
        async with connect(uri, host="127.0.0.1", port=world.http_port, proxy=None) as socket:
            assert await _echo(socket, "hello") == "version 2 hello"

    asyncio.run(talk())


async def _echo(socket: object, text: str) -> str:
    await socket.send(text)  # type: ignore[attr-defined]
    return str(await asyncio.wait_for(socket.recv(), timeout=10))  # type: ignore[attr-defined]


@contextmanager
def load_on(app: AppRepo) -> Iterator[Load]:
    """A steady load: keep-alive GETs, GETs on new connections, and POSTs."""
    load, over = Load(), threading.Event()
    visitors = [
        threading.Thread(target=_visit, args=(app.world, app.name, kind, load, over))
        for kind in ("keep-alive", "keep-alive", "new", "post")[:THREADS]
    ]
    for visitor in visitors:
        visitor.start()
    try:
        yield load
    finally:
        over.set()
        for visitor in visitors:
            visitor.join(timeout=30)


def _visit(world: World, app: str, kind: str, load: Load, over: threading.Event) -> None:
    due = time.monotonic()
    with closing(world.connect()) as connection:
        while not over.is_set():
            load.count(_request(connection, app, kind))
            if kind == "new":
                connection.close()
            due = max(due + THREADS / RATE, time.monotonic() - 1)  # a slow moment is not made up for with a burst
            time.sleep(max(0.0, due - time.monotonic()))


def _request(connection: http.client.HTTPConnection, app: str, kind: str) -> str | None:
    """None when all is well, else what came instead."""
    host = {"Host": f"{app}.localhost"}
    try:
        if kind == "post":
            connection.request("POST", "/", body=b"x" * 1000, headers=host)
        else:
            connection.request("GET", "/", headers=host)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"{kind}: {error!r}"
    return (
        None if response.status == 200 and body.startswith(b"version") else f"{kind}: {response.status} {body[:80]!r}"
    )
