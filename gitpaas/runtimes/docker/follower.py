"""One thread of the server copies what all containers write, and takes away what killed processes have left."""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitpaas.config import Config
from gitpaas.descriptors import Waker
from gitpaas.engine import Engine
from gitpaas.engine.stream import Stream
from gitpaas.errors import EngineFailed
from gitpaas.runtimes.docker import copies, names
from gitpaas.runtimes.docker.copies import Copy
from gitpaas.runtimes.docker.exits import open_events
from gitpaas.runtimes.docker.orphans import Orphans
from gitpaas.runtimes.docker.view import ENDED, Entry, View

_log = logging.getLogger(__name__)

_LOOK = 10.0  # seconds between two looks at all containers, when the engine tells of no change
_SOON = 0.1  # seconds until the look after a change: more of them come at once
_AGAIN = 1.0  # seconds until an engine that does not answer is asked again
_FAREWELL = 5.0  # seconds


@dataclass
class _Followed:
    copy: Copy
    had_ended: bool  # when the copy began: then its end is the end of all
    lock: ExitStack


class Follower:
    """Sleeps until the engine sends something."""

    def __init__(self, config: Config, engine: Engine, view: View, orphans: Orphans) -> None:
        self._config = config
        self._engine = engine
        self._view = view
        self._orphans = orphans
        self._selector = selectors.DefaultSelector()
        self._events: Stream | None = None
        self._followed: dict[str, _Followed] = {}  # by instance id
        self._done: set[str] = set()  # ended, and all of their output is here
        self._next_look = 0.0
        self._stopping = threading.Event()
        self._waker = Waker()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within the body the thread is at work."""
        self._selector.register(self._waker, selectors.EVENT_READ)
        thread = threading.Thread(target=self._run, name="output", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._waker.wake()
            thread.join(_FAREWELL)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._round()
            except EngineFailed:  # reconcile tells of it
                self._hang_up()
                self._stopping.wait(_AGAIN)
            except Exception:
                _log.exception("copying the output of containers failed")
                self._hang_up()
                self._stopping.wait(_AGAIN)
        self._hang_up()
        self._selector.close()

    def _round(self) -> None:
        """Listens first and looks then: what starts in between is in both."""
        if self._events is None:
            self._events = open_events(self._engine, "start", "die", "destroy")
            self._selector.register(self._events, selectors.EVENT_READ)
            self._next_look = 0.0
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK
            self._look()
        for key, _ in self._selector.select(max(0.0, self._next_look - time.monotonic())):
            if key.fileobj is self._events:
                self._hear(self._events)
            elif key.data is not None:
                self._step(key.data)

    def _look(self) -> None:
        marks = self._orphans.files()  # listed before the containers are: what is then without one stays so
        entries = self._view.entries()
        there = {entry["Labels"]["gitpaas.id"] for entry in entries}
        self._done &= there
        for entry in entries:
            self._consider(entry)
        self._orphans.remove(entries, marks - there)

    def _hear(self, events: Stream) -> None:
        with suppress(BlockingIOError, TimeoutError):
            if not events.read(0.0):
                raise EngineFailed("the engine has hung up")
            self._look_soon()

    def _look_soon(self) -> None:
        self._next_look = min(self._next_look, time.monotonic() + _SOON)

    def _consider(self, entry: Entry) -> None:
        key = entry["Labels"]["gitpaas.id"]
        if entry["State"] == "created" or names.is_attached(entry["Labels"]):
            return
        if key in self._followed or (key in self._done and entry["State"] in ENDED):
            return
        self._done.discard(key)  # somebody has started it again by hand
        with suppress(EngineFailed, OSError), ExitStack() as stack:
            mark = stack.enter_context(copies.held(self._config, key))
            if mark is None:  # whoever stops it copies the rest
                return
            copy = self._begin(entry, mark)
            stack.callback(copy.close)
            self._selector.register(copy, selectors.EVENT_READ, key)
            stack.callback(self._selector.unregister, copy)
            self._followed[key] = _Followed(copy, entry["State"] in ENDED, stack.pop_all())
            if copy.pending:
                self._step(key)

    def _begin(self, entry: Entry, mark: Path) -> Copy:
        marks = entry["Labels"]
        raw = self._config.raw_log(marks["gitpaas.app"], marks["gitpaas.id"])
        try:
            return Copy(self._engine, marks["gitpaas.id"], raw, mark, follow=True)
        except EngineFailed as error:
            if error.status == 404:  # removed since it was listed, and its mark before we took that for our own
                mark.unlink(missing_ok=True)
            raise

    def _step(self, key: str) -> None:
        followed = self._followed[key]
        try:
            goes_on = followed.copy.step(0.0)
        except (OSError, ValueError) as error:  # a full disk; something that no engine has sent so far
            _log.warning("output of %s is not copied for now: %s", key, error)
            self._let_go(key)
            return
        if not goes_on:
            self._let_go(key)
            if followed.had_ended:
                self._done.add(key)
            else:  # it has ended, or the engine has: one more look at all it wrote
                self._look_soon()

    def _let_go(self, key: str) -> None:
        self._followed.pop(key).lock.close()

    def _hang_up(self) -> None:
        for key in list(self._followed):
            self._let_go(key)
        if self._events is not None:
            self._selector.unregister(self._events)
            self._events.close()
            self._events = None
