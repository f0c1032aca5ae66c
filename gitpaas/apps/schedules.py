"""What is remembered of each cron entry: whether somebody suspended it, until when its minutes were decided on, and
what was missed last. Which entries there are, the live release says."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from peewee import fn

from gitpaas.crontab import Due
from gitpaas.store import App, Schedule
from gitpaas.values import CronEntry


def take_up(app: App, before: Collection[CronEntry], now: Sequence[CronEntry]) -> None:
    """The app goes from these entries to those. New ones, and ones that have changed, start with the next minute; what
    was remembered of those that are gone goes. Within the transaction that makes a release live."""
    names = [entry.name for entry in now]
    Schedule.delete().where(Schedule.app == app, Schedule.name.not_in(names)).execute()
    fresh = [entry.name for entry in now if entry not in before]
    Schedule.update(looked_at=time.time()).where(Schedule.app == app, Schedule.name << fresh).execute()
    for name in names:
        Schedule.insert(app=app, name=name).on_conflict_ignore().execute()


def of(app: App) -> dict[str, Schedule]:
    """By the name of the entry."""
    return {row.name: row for row in Schedule.select().where(Schedule.app == app)}


def everywhere() -> list[Schedule]:
    """Those of all apps, each with its app."""
    return list(Schedule.select(Schedule, App).join(App))


def suspend(app: App, names: Collection[str]) -> list[str]:
    """Which of these were not suspended before."""
    return _switch(app, names, on=True)


def resume(app: App, names: Collection[str]) -> list[str]:
    """Which of these were suspended before. What their time was meanwhile counts as neither run nor missed."""
    later = fn.MAX(Schedule.looked_at, time.time())  # a clock that was set back makes nothing run twice
    return _switch(app, names, on=False, looked_at=later)


def claim(row: Schedule, until: float, due: Due | None = None, why: str = "") -> bool:
    """Take the decision on all minutes up to that moment, and keep how many were missed of them. False when somebody
    else has taken it: no minute is anybody's twice."""
    values: dict[Any, Any] = {Schedule.looked_at: until}
    if due is not None and due.passed:
        missed = {"missed": due.passed, "missed_from": due.first, "missed_to": due.last, "missed_because": why}
        values |= {getattr(Schedule, name): value for name, value in missed.items()}
    query = Schedule.update(values).where(Schedule.id == row.id, Schedule.looked_at == row.looked_at)
    return bool(query.execute())


def _switch(app: App, names: Collection[str], *, on: bool, **values: Any) -> list[str]:
    chosen = Schedule.select().where(Schedule.app == app, Schedule.name << list(names), Schedule.suspended == (not on))
    switched = sorted(row.name for row in chosen)
    Schedule.update(suspended=on, **values).where(Schedule.app == app, Schedule.name << switched).execute()
    return switched
