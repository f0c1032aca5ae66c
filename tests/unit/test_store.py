"""The database: migrations from empty and from old, transactions, secrets at rest."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitpaas import store
from gitpaas.errors import BadConfig, StoreFailed
from gitpaas.store import App, ConfigVar, Domain, Store, models
from gitpaas.store.migrations import STEPS


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    opened = store.connect(tmp_path / "gitpaas.db", tmp_path / "secret.key")
    yield opened
    opened.close()


def test_the_tables_that_migrations_make_are_those_the_models_want(opened: Store, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "gitpaas.db") as database:
        for model in models.Row.__subclasses__():
            made = {(row[1], bool(row[3])) for row in database.execute(f"PRAGMA table_info({model._meta.table_name})")}
            wanted = {(f.column_name, not f.null) for f in model._meta.sorted_fields if f.column_name != "id"}
            assert {name for name, _ in made} >= {name for name, _ in wanted}, model
            assert {pair for pair in made if pair[0] != "id"} == wanted, model
    database.close()


def test_an_old_database_is_brought_up_to_date_and_keeps_its_rows(tmp_path: Path) -> None:
    # given a database that only the first migration has made, with an app in it
    path = tmp_path / "gitpaas.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE migration (id INTEGER PRIMARY KEY, name VARCHAR(255) UNIQUE, applied_at REAL)")
    database.execute("INSERT INTO migration (name, applied_at) VALUES ('m0001_first_tables', 0)")
    STEPS[0][1](_Plain(database))
    database.execute(
        "INSERT INTO app (name, created_at, created_by, stopped, maintenance) VALUES ('hello', 1, 'me', 0, 0)"
    )
    database.commit()
    database.close()
    # when it is opened by today's program
    opened = store.connect(path, tmp_path / "secret.key")
    # then every migration is applied once, and the app is still there
    with opened.session():
        assert [row.name for row in App.select()] == ["hello"]
        assert sorted(row.name for row in models.Migration.select()) == sorted(name for name, _ in STEPS)
        Domain.create(app=App.get(), name="example.com", by="me")
        App.get().delete_instance()
        assert not Domain.select().exists()
    opened.close()


def test_a_migration_that_fails_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(database: object) -> None:
        database.execute_sql("CREATE TABLE half (id INTEGER)")  # type: ignore[attr-defined]
        raise RuntimeError("half-way")

    monkeypatch.setattr(store.migrations, "STEPS", [*STEPS, ("m9999_breaks", breaks)])
    with pytest.raises(RuntimeError, match="half-way"):
        store.connect(tmp_path / "gitpaas.db", tmp_path / "secret.key")
    models.database.obj.close()
    with sqlite3.connect(tmp_path / "gitpaas.db") as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    database.close()
    assert "app" in tables
    assert "half" not in tables


def test_app_numbers_are_never_used_again(opened: Store) -> None:
    with opened.session():
        first = App.create(name="one", created_by="me")
        first.delete_instance()
        assert App.create(name="two", created_by="me").id > first.id


def test_many_threads_lose_no_write(opened: Store) -> None:
    with opened.session():
        app = App.create(name="hello", created_by="me")

    def add(number: int) -> None:
        with opened.transaction():
            ConfigVar.create(app=app, name=f"V{number}", value="x")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened.session():
        assert ConfigVar.select().count() == 20


def test_secrets_are_not_readable_in_the_file(opened: Store, tmp_path: Path) -> None:
    with opened.session():
        app = App.create(name="hello", created_by="me")
        ConfigVar.create(app=app, name="TOKEN", value=opened.seal.close("hunter2-hunter2"))
        opened._database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"hunter2" not in (tmp_path / "gitpaas.db").read_bytes()
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600


class _Plain:
    """The one method of a peewee database that a migration uses, on the standard library's driver."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def execute_sql(self, sql: str, params: tuple[object, ...] = ()) -> sqlite3.Cursor:
        return self._database.execute(sql, params)


def test_file_that_is_no_database_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(BadConfig, match="is not a database of gitpaas"):
        store.connect(tmp_path / "db", tmp_path / "key")


def test_disk_that_is_full_is_said_in_words(opened: Store) -> None:
    with pytest.raises(StoreFailed, match="full"), opened.session():
        models.database.execute_sql("PRAGMA max_page_count = 1")
        App.create(name="a" * 60, created_by="b" * 100_000)


def elsewhere(path: Path, statement: str) -> None:
    """As another process does it."""
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()


def test_the_version_is_another_one_once_anybody_has_written(opened: Store, tmp_path: Path) -> None:
    seen = [opened.version()]

    def has_changed() -> bool:
        seen.append(opened.version())
        return seen[-1] != seen[-2]

    assert not has_changed()
    with opened.session():
        App.create(name="mine", created_by="me")
        assert has_changed()
        assert list(App.select())
        assert not has_changed()
    assert not has_changed()
    elsewhere(tmp_path / "gitpaas.db", "UPDATE app SET stopped = 1")
    assert has_changed()
    elsewhere(tmp_path / "gitpaas.db", "SELECT 1")
    assert not has_changed()

    def write() -> None:
        with opened.session():
            App.update(stopped=False).execute()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert has_changed()


def test_the_version_is_another_one_when_another_database_has_taken_its_place(opened: Store, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    elsewhere(other, "CREATE TABLE app (id INTEGER)")
    before = opened.version()
    other.rename(tmp_path / "gitpaas.db")
    assert opened.version() != before


def test_who_asks_for_the_version_keeps_nobody_from_tidying(opened: Store) -> None:
    opened.version()
    assert opened.tidy()


def test_a_reading_is_done_again_only_after_a_write(opened: Store) -> None:
    reads: list[int] = []
    reading = opened.reading(lambda: reads.append(1) or [app.name for app in App.select()])
    with opened.session():
        assert [reading.now(), reading.now(), len(reads)] == [[], [], 1]
        App.create(name="one", created_by="me")
        assert [reading.now(), reading.now(), len(reads)] == [["one"], ["one"], 2]


def test_a_reading_that_failed_is_done_again(opened: Store) -> None:
    answers = iter([StoreFailed("no"), ["one"]])

    def read() -> list[str]:
        answer = next(answers)
        if isinstance(answer, StoreFailed):
            raise answer
        return answer

    reading = opened.reading(read)
    with pytest.raises(StoreFailed):
        reading.now()
    assert reading.now() == ["one"]
