"""Whether anything was written since: what was read before is true as long as nobody has."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

_PATIENCE = 10.0  # seconds that others may keep the file to themselves

Rows = TypeVar("Rows")


class Changes:
    """Asks by a connection of its own that never writes: so what this process writes counts as what others do."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def version(self) -> object:
        """The same as before when nothing was written in between, and only then. It costs microseconds."""
        with self._lock:
            connection = self._connected()
            return connection, connection.execute("PRAGMA data_version").fetchall()[0][0]

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        """To the file that is there now: a copy may have been put in its place."""
        status = self._path.stat()
        file = status.st_dev, status.st_ino
        if self._connection is None or file != self._file:
            self._disconnect()
            self._connection = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
            self._file = file
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Reading(Generic[Rows]):
    """What was read of the database: read again once anybody has written, and only then."""

    def __init__(self, version: Callable[[], object], read: Callable[[], Rows]) -> None:
        self._version = version
        self._read = read
        self._known: tuple[object, Rows] | None = None

    def now(self) -> Rows:
        version = self._version()  # asked first: what is written while we read is read the next time
        if self._known is None or self._known[0] != version:
            self._known = version, self._read()
        return self._known[1]
