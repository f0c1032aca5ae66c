"""The database: SQLite in WAL mode. connect() once a process; session() once a thread's piece of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import SqliteDatabase

from gitpaas.store import models
from gitpaas.store.migrations import migrate
from gitpaas.store.models import App, Build, ConfigVar, Formation, Key, Migration, Release
from gitpaas.store.seal import Seal

__all__ = [
    "App",
    "Build",
    "ConfigVar",
    "Formation",
    "Key",
    "Migration",
    "Release",
    "Seal",
    "Store",
    "connect",
]


class Store:
    """An open database and the seal of its secrets. Rows are the models of this package."""

    def __init__(self, database: SqliteDatabase, seal: Seal) -> None:
        self._database = database
        self.seal = seal

    @contextmanager
    def session(self) -> Iterator[None]:
        """A connection for this thread, closed at the end. Nested calls share the outer one."""
        with self._database.connection_context() if self._database.is_closed() else _nothing():
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. The write lock is taken at the start (BEGIN IMMEDIATE), so it never fails half-way."""
        with self.session(), self._database.atomic("IMMEDIATE"):
            yield

    def close(self) -> None:
        if not self._database.is_closed():
            self._database.close()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def connect(path: Path, key_file: Path) -> Store:
    """Open (or make) the database at `path` and bring its tables up to date."""
    database = SqliteDatabase(
        str(path),
        pragmas={"journal_mode": "wal", "synchronous": "normal", "busy_timeout": 10_000, "foreign_keys": 1},
        timeout=10,
    )
    models.database.initialize(database)
    store = Store(database, Seal(key_file))
    with store.session():
        migrate(database)
    return store
