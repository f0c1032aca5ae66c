"""What processes that were killed have left: containers half-made, one-offs nobody waits for, files without either."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from gitpaas import locks
from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.runtimes.docker import copies, names
from gitpaas.runtimes.docker.ports import FoundPorts
from gitpaas.runtimes.docker.starting import Starter, lock_path, locks_folder
from gitpaas.runtimes.docker.view import Entry, inspect

_MOMENT = 2.0  # seconds


class Orphans:
    """Safe to be asked at any time: a lock that somebody holds tells who is still at work."""

    def __init__(self, config: Config, engine: Engine, starter: Starter) -> None:
        self._config = config
        self._engine = engine
        self._starter = starter
        self._ports = FoundPorts(config)

    def files(self) -> set[str]:
        """The ids of instances of which there are files."""
        found = set(self._ports.all())
        for folder in (copies.folder(self._config), locks_folder(self._config)):
            with suppress(FileNotFoundError):
                found.update(os.listdir(folder))  # noqa: PTH208
        return found

    def remove(self, entries: Iterable[Entry], strangers: Collection[str]) -> None:
        """`strangers`: ids from files() of which there is no container."""
        for entry in entries:
            marks = entry["Labels"]
            is_passing = entry["State"] == "created" or names.is_attached(marks)
            is_left = is_passing and not locks.is_held(lock_path(self._config, marks["gitpaas.id"]))
            if is_left and self._is_still_so(entry):
                self._starter.remove(entry["Id"])
        for key in strangers:
            self._ports.keep(key, None)
            for path in (copies.folder(self._config) / key, lock_path(self._config, key)):
                if _is_old(path) and not locks.is_held(path):
                    path.unlink(missing_ok=True)

    def _is_still_so(self, entry: Entry) -> bool:
        """Whoever held the lock when it was listed may have started it since, and only then let go."""
        found = inspect(self._engine, entry["Id"], "looking for what is nobody's")
        return found is not None and found["State"]["Status"] == entry["State"]


def _is_old(path: Path) -> bool:
    """Older than the moment between making a lock's file and locking it."""
    try:
        return time.time() - path.stat().st_mtime > _MOMENT
    except FileNotFoundError:
        return False
