"""Ordered steps from an empty file to today's tables. Applied names are rows; each runs in its own transaction.

A step is SQL as it was written that day, never today's models: an old step must stay what it was.
"""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database

STEPS: list[tuple[str, Callable[[Database], None]]] = []


def step(function: Callable[[Database], None]) -> Callable[[Database], None]:
    """Register a migration under its function's name. Order in this file is order of application."""
    STEPS.append((function.__name__, function))
    return function


def migrate(database: Database) -> list[str]:
    """Apply what is missing and return its names. Two processes at once: one applies, the other waits."""
    database.execute_sql(
        "CREATE TABLE IF NOT EXISTS migration (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE,"
        " applied_at REAL NOT NULL)"
    )
    applied = []
    for name, function in STEPS:
        with database.atomic("IMMEDIATE"):
            if database.execute_sql("SELECT 1 FROM migration WHERE name = ?", (name,)).fetchone():
                continue
            function(database)
            database.execute_sql(
                "INSERT INTO migration (name, applied_at) VALUES (?, CAST(strftime('%s','now') AS REAL))",
                (name,),
            )
            applied.append(name)
    return applied


def _run(database: Database, *statements: str) -> None:
    for statement in statements:
        database.execute_sql(statement)


@step
def m0001_first_tables(database: Database) -> None:
    _run(
        database,
        "CREATE TABLE key (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE,"
        " fingerprint VARCHAR(255) NOT NULL UNIQUE, line TEXT NOT NULL, role VARCHAR(255) NOT NULL,"
        " created_at REAL NOT NULL, used_at REAL)",
        "CREATE TABLE app (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(255) NOT NULL UNIQUE,"
        " created_at REAL NOT NULL, created_by VARCHAR(255) NOT NULL, deploy_branch VARCHAR(255),"
        " release INTEGER, stopped INTEGER NOT NULL, maintenance INTEGER NOT NULL)",
        "CREATE TABLE build (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        ' app_id INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE, "commit" VARCHAR(255) NOT NULL,'
        " subject VARCHAR(255) NOT NULL, ref VARCHAR(255) NOT NULL, previous VARCHAR(255) NOT NULL,"
        " moves TEXT NOT NULL, status VARCHAR(255) NOT NULL, error TEXT NOT NULL, label VARCHAR(255) NOT NULL,"
        ' release INTEGER, "by" VARCHAR(255) NOT NULL, key VARCHAR(255), created_at REAL NOT NULL,'
        " started_at REAL, finished_at REAL)",
        "CREATE INDEX build_app ON build (app_id, status)",
        "CREATE TABLE release (id INTEGER PRIMARY KEY,"
        " app_id INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE, number INTEGER NOT NULL,"
        ' build_id INTEGER REFERENCES build (id) ON DELETE SET NULL, "commit" VARCHAR(255) NOT NULL,'
        " description VARCHAR(255) NOT NULL, artifact TEXT NOT NULL, config TEXT NOT NULL,"
        ' status VARCHAR(255) NOT NULL, "by" VARCHAR(255) NOT NULL, created_at REAL NOT NULL)',
        "CREATE UNIQUE INDEX release_app_number ON release (app_id, number)",
        "CREATE TABLE configvar (id INTEGER PRIMARY KEY,"
        " app_id INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE, name VARCHAR(255) NOT NULL,"
        " value TEXT NOT NULL)",
        "CREATE UNIQUE INDEX configvar_app_name ON configvar (app_id, name)",
        "CREATE TABLE formation (id INTEGER PRIMARY KEY,"
        " app_id INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE, process VARCHAR(255) NOT NULL,"
        " quantity INTEGER NOT NULL)",
        "CREATE UNIQUE INDEX formation_app_process ON formation (app_id, process)",
    )


@step
def m0002_builders_volumes_events(database: Database) -> None:
    _run(
        database,
        "ALTER TABLE app ADD COLUMN build_options TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE app ADD COLUMN run_options TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE build ADD COLUMN builder VARCHAR(255) NOT NULL DEFAULT ''",
        "ALTER TABLE build ADD COLUMN details TEXT NOT NULL DEFAULT '{}'",
        "CREATE TABLE volume (id INTEGER PRIMARY KEY,"
        " app_id INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE, name VARCHAR(255) NOT NULL,"
        " target VARCHAR(255) NOT NULL)",
        "CREATE UNIQUE INDEX volume_app_name ON volume (app_id, name)",
        "CREATE UNIQUE INDEX volume_app_target ON volume (app_id, target)",
        "CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, app VARCHAR(255),"
        " action VARCHAR(255) NOT NULL, text TEXT NOT NULL, result VARCHAR(255) NOT NULL,"
        ' "by" VARCHAR(255) NOT NULL, key VARCHAR(255), address VARCHAR(255) NOT NULL)',
        "CREATE INDEX event_app ON event (app, id)",
    )


@step
def m0003_where_a_build_came_from(database: Database) -> None:
    _run(database, "ALTER TABLE build ADD COLUMN address VARCHAR(255) NOT NULL DEFAULT 'local'")


@step
def m0004_people_one_offs_and_what_a_release_was(database: Database) -> None:
    _run(
        database,
        "ALTER TABLE key ADD COLUMN person VARCHAR(255) NOT NULL DEFAULT ''",
        "UPDATE key SET person = name",
        "ALTER TABLE key ADD COLUMN used_from VARCHAR(255)",
        "CREATE TABLE access (id INTEGER PRIMARY KEY, app_id INTEGER REFERENCES app (id) ON DELETE CASCADE,"
        " person VARCHAR(255) NOT NULL, role VARCHAR(255) NOT NULL, created_at REAL NOT NULL,"
        ' "by" VARCHAR(255) NOT NULL)',
        "CREATE UNIQUE INDEX access_app_person ON access (COALESCE(app_id, 0), person)",
        "ALTER TABLE app ADD COLUMN held TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE app ADD COLUMN resources TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE build ADD COLUMN inputs VARCHAR(255) NOT NULL DEFAULT ''",
        "ALTER TABLE release ADD COLUMN inputs VARCHAR(255) NOT NULL DEFAULT ''",
        "ALTER TABLE release ADD COLUMN subject VARCHAR(255) NOT NULL DEFAULT ''",
        "UPDATE release SET subject = COALESCE((SELECT subject FROM build WHERE build.id = release.build_id), '')",
        "ALTER TABLE build ADD COLUMN restores INTEGER",
        "ALTER TABLE release ADD COLUMN restores INTEGER",
        "CREATE INDEX release_app_inputs ON release (app_id, inputs)",
        "ALTER TABLE release ADD COLUMN formation TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE release ADD COLUMN key VARCHAR(255)",
        "ALTER TABLE release ADD COLUMN live_at REAL",
        "ALTER TABLE release ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE oneoff (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " app_id INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE, kind VARCHAR(255) NOT NULL,"
        " number INTEGER NOT NULL, command TEXT NOT NULL, schedule VARCHAR(255) NOT NULL, release INTEGER NOT NULL,"
        ' instance VARCHAR(255), "by" VARCHAR(255) NOT NULL, key VARCHAR(255), address VARCHAR(255) NOT NULL,'
        " timeout REAL, created_at REAL NOT NULL, finished_at REAL, exit_code INTEGER, error TEXT NOT NULL)",
        "CREATE UNIQUE INDEX oneoff_app_kind_number ON oneoff (app_id, kind, number)",
        "CREATE INDEX oneoff_unfinished ON oneoff (app_id) WHERE finished_at IS NULL",
        "CREATE TABLE schedule (id INTEGER PRIMARY KEY,"
        " app_id INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE, name VARCHAR(255) NOT NULL,"
        " suspended INTEGER NOT NULL, looked_at REAL NOT NULL, missed INTEGER NOT NULL,"
        " missed_from REAL NOT NULL, missed_to REAL NOT NULL, missed_because VARCHAR(255) NOT NULL)",
        "CREATE UNIQUE INDEX schedule_app_name ON schedule (app_id, name)",
    )


@step
def m0005_domains(database: Database) -> None:
    _run(
        database,
        "CREATE TABLE domain (id INTEGER PRIMARY KEY,"
        " app_id INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE, name VARCHAR(255) NOT NULL UNIQUE,"
        ' created_at REAL NOT NULL, "by" VARCHAR(255) NOT NULL)',
        "CREATE INDEX domain_app ON domain (app_id)",
    )
