"""Visitors of an app, steadily, while something happens to it: what they saw."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from .world import AppRepo

Connect = Callable[[], http.client.HTTPConnection]

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


@contextmanager
def load_on(app: AppRepo, host: str | None = None, connect: Connect | None = None) -> Iterator[Load]:
    """A steady load on the app's own host, or another one of its: keep-alive GETs, GETs on new connections, POSTs.

    `connect` makes the connections, unless over plain HTTP."""
    load, over = Load(), threading.Event()
    visitors = [
        threading.Thread(
            target=_visit, args=(connect or app.world.connect, host or f"{app.name}.localhost", kind, load, over)
        )
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


def _visit(connect: Connect, host: str, kind: str, load: Load, over: threading.Event) -> None:
    due = time.monotonic()
    with closing(connect()) as connection:
        while not over.is_set():
            load.count(_request(connection, host, kind))
            if kind == "new":
                connection.close()
            due = max(due + THREADS / RATE, time.monotonic() - 1)  # a slow moment is not made up for with a burst
            time.sleep(max(0.0, due - time.monotonic()))


def _request(connection: http.client.HTTPConnection, host: str, kind: str) -> str | None:
    """None when all is well, else what came instead."""
    headers = {"Host": host}
    try:
        if kind == "post":
            connection.request("POST", "/", body=b"x" * 1000, headers=headers)
        else:
            connection.request("GET", "/", headers=headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"{kind}: {error!r}"
    return (
        None if response.status == 200 and body.startswith(b"version") else f"{kind}: {response.status} {body[:80]!r}"
    )
