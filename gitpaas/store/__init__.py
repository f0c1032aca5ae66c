"""The database: SQLite in WAL mode. connect() once a process; session() once a thread's piece of work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import DatabaseError, OperationalError, SqliteDatabase

from gitpaas.errors import BadConfig, StoreFailed
from gitpaas.store import models
from gitpaas.store.changes import Changes, Reading, Rows
from gitpaas.store.migrations import migrate
from gitpaas.store.models import (
    Access,
    App,
    Build,
    ConfigVar,
    Domain,
    Event,
    Formation,
    Key,
    Migration,
    OneOff,
    Release,
    Schedule,
    Volume,
)
from gitpaas.store.seal import Seal

__all__ = [
    "Access",
    "App",
    "Build",
    "ConfigVar",
    "Domain",
    "Event",
    "Formation",
    "Key",
    "Migration",
    "OneOff",
    "Reading",
    "Release",
    "Schedule",
    "Seal",
    "Store",
    "Volume",
    "connect",
]


class Store:
    """An open database and the seal of its secrets. Rows are the models of this package."""

    def __init__(self, database: SqliteDatabase, seal: Seal) -> None:
        self._database = database
        self._changes = Changes(Path(database.database))
        self.seal = seal

    @contextmanager
    def session(self) -> Iterator[None]:
        """A connection for this thread, closed at the end. Nested calls share the outer one."""
        if not self._database.is_closed():
            yield
            return
        with _in_words(), self._database.connection_context():
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. The write lock is taken at the start (BEGIN IMMEDIATE), so it never fails half-way."""
        with self.session(), _in_words(), self._database.atomic("IMMEDIATE"):
            yield

    @contextmanager
    def lasting_transaction(self) -> Iterator[None]:
        """One that a power cut does not undo once it has ended, as it may undo the last ordinary ones."""
        with self.session():
            self._database.execute_sql("PRAGMA synchronous = full")
            try:
                with self.transaction():
                    yield
            finally:
                self._database.execute_sql("PRAGMA synchronous = normal")

    def tidy(self) -> bool:
        """Leave nothing of what was deleted or overwritten in the files. False when others let no one do that now."""
        try:
            with self.session(), _in_words():
                self._database.execute_sql("VACUUM")
                busy, *_ = self._database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except StoreFailed:
            return False
        return not busy

    def version(self) -> object:
        """Another one once anybody has written, this process or any other. Compare by equality."""
        with _in_words():
            return self._changes.version()

    def reading(self, read: Callable[[], Rows]) -> Reading[Rows]:
        """For what is asked again and again: `read` is called only when the database is another than the last time."""
        return Reading(self.version, read)

    def close(self) -> None:
        """For the process; of other threads each closes its own session."""
        self._changes.close()
        if not self._database.is_closed():
            self._database.close()


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise StoreFailed(
            f"The database cannot be used just now: {error}", "Is the disk full? Else try again in a moment."
        ) from error


def connect(path: Path, key_file: Path) -> Store:
    """Open (or make) the database at `path` and bring its tables up to date. BadConfig when the file is no such."""
    database = SqliteDatabase(
        str(path),
        pragmas={"journal_mode": "wal", "synchronous": "normal", "busy_timeout": 10_000, "foreign_keys": 1},
        timeout=10,
    )
    models.database.initialize(database)
    store = Store(database, Seal(key_file))
    try:
        with store.session():
            migrate(database)
    except DatabaseError as error:
        raise BadConfig(f"{path} is not a database of gitpaas: {error}", "Put back a backup of it.") from error
    return store
