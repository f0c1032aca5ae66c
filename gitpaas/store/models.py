"""Rows: what people intend, and what has happened. What runs is not here; the runtime knows."""

from __future__ import annotations

import time

from peewee import (
    AutoField,
    BooleanField,
    CharField,
    DatabaseProxy,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

database = DatabaseProxy()  # filled in by store.connect()


class Row(Model):
    class Meta:
        database = database


class Migration(Row):
    name = CharField(unique=True)
    applied_at = FloatField(default=time.time)


class Key(Row):
    id = AutoField()
    name = CharField(unique=True)
    fingerprint = CharField(unique=True)  # SHA256:..., as ssh-keygen -l prints it
    line = TextField()  # "ssh-ed25519 AAAA...", without the comment
    role = CharField()  # for all apps: admin deploy read, or none: then Access alone says what it may
    person = CharField(default="")  # whose it is
    created_at = FloatField(default=time.time)
    used_at = FloatField(null=True)
    used_from = CharField(null=True)  # the address


class App(Row):
    id = AutoField()  # never reused: a user id derives from it
    name = CharField(unique=True)
    created_at = FloatField(default=time.time)
    created_by = CharField()
    deploy_branch = CharField(null=True)  # "main"; None until the first main or master arrives
    release = IntegerField(null=True)  # the number of the live one
    stopped = BooleanField(default=False)
    maintenance = BooleanField(default=False)
    build_options = TextField(default="{}")  # JSON of values.BuildOptions
    run_options = TextField(default="{}")  # JSON of values.RunOptions
    held = TextField(default="[]")  # JSON: process types and instances ("worker", "web.2") that were told to stop
    resources = TextField(default="{}")  # JSON by process type ("": all others): {"worker": {"memory": 1073741824}}


class Build(Row):
    id = AutoField()  # the ticket in the app's queue
    app_id: int
    app = ForeignKeyField(App, backref="builds", on_delete="CASCADE")
    commit = CharField()
    subject = CharField(default="")
    ref = CharField()  # refs/heads/main
    previous = CharField()  # what the client saw the ref at: all zeros for a new one
    moves = TextField(default="[]")  # JSON [[ref, old, new]]: what goes live with it (atomic pushes: all refs)
    status = CharField(default="queued")  # queued building releasing starting finishing live failed superseded
    error = TextField(default="")
    label = CharField(default="")
    builder = CharField(default="")
    details = TextField(default="{}")  # JSON: what the builder resolved, {"python": "3.12.3"}
    inputs = CharField(default="")  # a digest of all that the artifact depends on: the same makes the same
    release = IntegerField(null=True)
    restores = IntegerField(null=True)  # the number of the release that it brings back, with its config vars
    by = CharField()
    key = CharField(null=True)
    address = CharField(default="local")
    created_at = FloatField(default=time.time)
    started_at = FloatField(null=True)
    finished_at = FloatField(null=True)


class Release(Row):
    id = AutoField()
    app_id: int
    build_id: int | None
    app = ForeignKeyField(App, backref="releases", on_delete="CASCADE")
    number = IntegerField()
    build = ForeignKeyField(Build, null=True, on_delete="SET NULL")
    commit = CharField(default="")
    subject = CharField(default="")  # of the commit
    inputs = CharField(default="")  # as its build's
    description = CharField()  # "Deploy a1b2c3d", "Set DATABASE_URL", "Rollback to v11"
    artifact = TextField()  # JSON of values.Artifact
    config = TextField()  # sealed JSON of the config vars it was made with
    formation = TextField(default="{}")  # JSON: how many of each process type were wanted when it went live
    status = CharField(default="pending")  # pending live failed
    restores = IntegerField(null=True)  # as its build's: a rollback takes the config vars of then along
    by = CharField()
    key = CharField(null=True)
    created_at = FloatField(default=time.time)
    live_at = FloatField(null=True)
    pinned = BooleanField(default=False)  # its artifact is kept whatever comes after it

    class Meta:
        indexes = ((("app", "number"), True), (("app", "inputs"), False))


class ConfigVar(Row):
    app_id: int
    app = ForeignKeyField(App, backref="config", on_delete="CASCADE")
    name = CharField()
    value = TextField()  # sealed

    class Meta:
        indexes = ((("app", "name"), True),)


class Formation(Row):
    app_id: int
    app = ForeignKeyField(App, backref="formation", on_delete="CASCADE")
    process = CharField()
    quantity = IntegerField()

    class Meta:
        indexes = ((("app", "process"), True),)


class Volume(Row):
    app_id: int
    app = ForeignKeyField(App, backref="volumes", on_delete="CASCADE")
    name = CharField()
    target = CharField()  # an absolute path inside the instances

    class Meta:
        indexes = ((("app", "name"), True), (("app", "target"), True))


class Domain(Row):
    """A name besides its own at which an app answers."""

    app_id: int
    app = ForeignKeyField(App, backref="domains", on_delete="CASCADE")
    name = CharField(unique=True)  # as the DNS has it: www.example.com, xn--bcher-kva.example, *.example.com
    created_at = FloatField(default=time.time)
    by = CharField()


class Access(Row):
    """What a person may do with one app, or with all when `app` is None, besides what the role of a key allows."""

    app_id: int | None
    app = ForeignKeyField(App, null=True, backref="access", on_delete="CASCADE")
    person = CharField()
    role = CharField()
    created_at = FloatField(default=time.time)
    by = CharField()


class OneOff(Row):
    """A command run beside the app's own processes: `run`, or an entry of cron. Its instance is KIND.NUMBER."""

    id = AutoField()
    app_id: int
    app = ForeignKeyField(App, backref="one_offs", on_delete="CASCADE")
    kind = CharField()  # run cron
    number = IntegerField()
    command = TextField()
    schedule = CharField(default="")  # the name of the Schedule that started it
    release = IntegerField()
    instance = CharField(null=True)  # the runtime's own handle
    by = CharField()
    key = CharField(null=True)
    address = CharField(default="local")
    timeout = FloatField(null=True)  # seconds it may take
    created_at = FloatField(default=time.time)
    finished_at = FloatField(null=True)
    exit_code = IntegerField(null=True)  # None as well when nobody saw it end
    error = TextField(default="")

    class Meta:
        indexes = ((("app", "kind", "number"), True),)


class Schedule(Row):
    """What is remembered of one cron entry of an app: which there are, the live release says."""

    id = AutoField()
    app_id: int
    app = ForeignKeyField(App, backref="schedules", on_delete="CASCADE")
    name = CharField()
    suspended = BooleanField(default=False)
    looked_at = FloatField(default=time.time)  # every minute until then has been decided on
    missed = IntegerField(default=0)  # how many runs were missed, the last time that any were
    missed_from = FloatField(default=0.0)  # the first and the last of those
    missed_to = FloatField(default=0.0)
    missed_because = CharField(default="")  # "the server was stopped"

    class Meta:
        indexes = ((("app", "name"), True),)


class Event(Row):
    """Something that happened, kept when the app is gone: who did what, from where, with what result."""

    id = AutoField()
    at = FloatField(default=time.time)
    app = CharField(null=True)  # its name
    action = CharField()  # deploy, config:set, reconcile ...
    text = TextField(default="")
    result = CharField(default="ok")  # ok failed
    by = CharField()
    key = CharField(null=True)
    address = CharField(default="local")

    class Meta:
        indexes = ((("app", "id"), False),)
