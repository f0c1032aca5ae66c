"""A scheduler whose clock a test moves, over apps that have cron entries and run nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import count

from gitpaas import apps, releases
from gitpaas.cron.scheduler import Scheduler
from gitpaas.platform import Platform
from gitpaas.store import App, Event, OneOff, Release, Schedule
from gitpaas.values import Actor, Artifact, CronEntry

ALICE = Actor("alice", "deploy", "laptop")
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
EVERY_MINUTE = CronEntry("tick", "true", "* * * * *")


@dataclass
class Clock:
    """Of the wall, and the steady one that nobody can set."""

    now: float = NOON
    steady: float = 1000.0

    def goes_on(self, seconds: float) -> None:
        self.now += seconds
        self.steady += seconds

    def is_set(self, now: float) -> None:
        self.now = now


@dataclass
class Rig:
    platform: Platform
    clock: Clock = field(default_factory=Clock)
    runs: list[tuple[str, str, float]] = field(default_factory=list)  # app, entry, when
    told: list[tuple[str, str]] = field(default_factory=list)
    fails: Exception | None = None
    scheduler: Scheduler = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self.restart()

    def restart(self) -> None:
        """Another server on the same state directory."""
        self.scheduler = Scheduler(
            self.platform,
            lambda app, text: self.told.append((app, text)),
            run=self._run,
            clock=lambda: self.clock.now,
            steady=lambda: self.clock.steady,
        )

    def deploy(self, *entries: CronEntry, app: str = "hello") -> App:
        """A release with these entries goes live now."""
        with self.platform.store.session():
            row = App.get_or_none(App.name == app) or apps.create(self.platform, app, ALICE)
            made = Artifact("slug", "/slug", "slug", "", {"worker": "exec work"}, cron=entries)
            number = (row.release or 0) + 1
            release = Release.create(
                app=row, number=number, description="", artifact=json.dumps(asdict(made)), by="alice",
                config=self.platform.store.seal.close("{}"),
            )  # fmt: skip
            before = {one.name: one.looked_at for one in Schedule.select().where(Schedule.app == row)}
            releases.make_live(self.platform, row, release)
            self._as_of_our_clock(row, before)
            return row

    def rounds(self, seconds: int) -> None:
        """So many looks, one a second."""
        for _ in range(seconds):
            self.scheduler.run_once()
            self.clock.goes_on(1)

    def minutes(self) -> list[int]:
        """Of all runs, counted from noon."""
        return [round(when - NOON) // 60 for _, _, when in self.runs]

    def texts(self) -> list[str]:
        return [text for _, text in self.told]

    def events(self) -> Sequence[tuple[str, str, str]]:
        with self.platform.store.session():
            return [(e.app, e.text, e.result) for e in Event.select().where(Event.action == "cron").order_by(Event.id)]

    def row(self, name: str = "tick", app: str = "hello") -> Schedule:
        with self.platform.store.session():
            return Schedule.select().join(App).where(App.name == app, Schedule.name == name).get()

    def _as_of_our_clock(self, app: App, before: dict[str, float]) -> None:
        """What was taken up anew was so by the machine's clock."""
        for row in Schedule.select().where(Schedule.app == app):
            if row.looked_at != before.get(row.name):
                Schedule.update(looked_at=self.clock.now).where(Schedule.id == row.id).execute()

    def _run(self, platform: Platform, app: App, entry: CronEntry) -> OneOff:
        if self.fails:
            raise self.fails
        self.runs.append((app.name, entry.name, self.clock.now))
        return OneOff.create(
            app=app, kind="cron", number=next(self._numbers), command=entry.command, schedule=entry.name,
            release=app.release, by="gitpaas",
        )  # fmt: skip
