"""Waiting for containers to end, by the engine's own events."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Collection

from gitpaas.descriptors import Waker
from gitpaas.engine import Engine
from gitpaas.engine.stream import Stream
from gitpaas.errors import EngineFailed
from gitpaas.runtimes.docker import names
from gitpaas.runtimes.docker.view import inspect

_AGAIN = 1.0  # seconds until an engine that does not answer is asked again
_PAST = 60.0  # seconds, by the engine's clock, that may be another than ours; to be told of an end twice does no harm


class Exits:
    """For one thread; wake() is for all. An engine that goes away and comes back is asked what was missed."""

    def __init__(self, engine: Engine, ended: Callable[[], Collection[str]]) -> None:
        """`ended`: the ids of all instances that have ended and were not stopped. It may raise EngineFailed."""
        self._engine = engine
        self._ended = ended
        self._told: frozenset[str] = frozenset()
        self._events: Stream | None = None
        self._changed = False
        self._half = b""
        self._dying: list[str] = []  # the engine's ids
        self._waker = Waker()

    def wait(self, timeout: float) -> bool:
        """Whether one has ended that was not told before; False after `timeout` seconds or a wake()."""
        deadline = time.monotonic() + timeout
        while True:
            if self._has_news():
                return True
            left = deadline - time.monotonic()
            if left <= 0 or self._sleep(left):
                return False

    def wake(self) -> None:
        self._waker.wake()

    def _has_news(self) -> bool:
        """Listens first and looks then: what ends in between is in both."""
        try:
            if self._events is None:
                self._events, self._changed = open_events(self._engine, "die"), True
            if not self._changed:
                return False
            self._await_list()
            ended = frozenset(self._ended())
        except EngineFailed:
            self._hang_up()
            return False
        self._changed = False
        news, self._told = ended - self._told, ended
        return bool(news)

    def _sleep(self, seconds: float) -> bool:
        """Until something happens that is worth a look; whether it was a wake()."""
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        if self._events is None:
            poll.poll(1000 * min(seconds, _AGAIN))
        else:
            poll.register(self._events, select.POLLIN)
            if not self._events.pending:
                poll.poll(1000 * seconds)
            self._drain(self._events)
        return self._waker.was_woken()

    def _drain(self, events: Stream) -> None:
        try:
            data = events.read(0.0)
        except (TimeoutError, BlockingIOError):
            return
        if not data:
            self._hang_up()
            return
        *lines, self._half = (self._half + data).split(b"\n")
        dead = [json.loads(line)["Actor"] for line in lines]
        self._dying += [actor["ID"] for actor in dead if not names.is_attached(actor["Attributes"])]
        self._changed = bool(self._dying)

    def _await_list(self) -> None:
        """Docker Engine 20.10 tells of an end before it lists it, and answers no other question in between."""
        while self._dying:
            inspect(self._engine, self._dying[-1], "looking at what ended")
            self._dying.pop()

    def _hang_up(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events, self._half = None, b""


def open_events(engine: Engine, *kinds: str) -> Stream:
    """A line of JSON whenever one of these things happens to a container of ours, and for what happened shortly before.

    The engine answers first and begins to listen then: without the past, what happens in between would be told to
    nobody."""
    filters = {"type": ["container"], "event": list(kinds), **engine.filters()}
    since = int(time.time() - _PAST)
    return Stream(engine.address, "GET", "/events", {"filters": json.dumps(filters), "since": since})
