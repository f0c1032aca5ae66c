"""Cron: the entries of an app's live release, each with what is remembered of it, and one run of one of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gitpaas import crontab, locks, oneoffs, releases
from gitpaas.apps import schedules
from gitpaas.crontab import Due
from gitpaas.errors import Conflict, NotFound, nearest
from gitpaas.platform import Platform
from gitpaas.store import App, OneOff, Schedule
from gitpaas.values import Actor, CronEntry

NAME = "GITPAAS_CRON"  # the variable that tells a run which entry it is
_REPLACED = "the next run took its place"


class StillRuns(Conflict):
    """An entry that forbids two runs at once has one."""

    def __init__(self, name: str, one_off: OneOff) -> None:
        super().__init__(f"{name} still runs as {oneoffs.label(one_off)}.", "It forbids two at once.")
        self.one_off = one_off


@dataclass(frozen=True)
class State:
    """One entry as it stands. `row` is None in the instant in which a release goes live."""

    entry: CronEntry
    row: Schedule | None
    last: OneOff | None

    @property
    def suspended_by(self) -> str | None:
        """`app.json`, `cron:suspend`, or nobody."""
        if self.entry.suspended:
            return "app.json"
        return "cron:suspend" if self.row and self.row.suspended else None

    @property
    def missed(self) -> str:
        """What was missed the last time that anything was; empty when nothing ever was."""
        if self.row is None or not self.row.missed:
            return ""
        due = Due(passed=self.row.missed, first=self.row.missed_from, last=self.row.missed_to)
        return missed(self.entry, due, self.row.missed_because)

    @property
    def next_at(self) -> float | None:
        """When it runs next; None while it is suspended."""
        if self.suspended_by:
            return None
        decided = self.row.looked_at if self.row else 0.0
        return crontab.next_moment(self.entry.schedule, self.entry.timezone, max(time.time(), decided))


def entries(app: App) -> tuple[CronEntry, ...]:
    """Those of the live release, as in its app.json."""
    release = releases.live(app)
    return releases.artifact(release).cron if release else ()


def states(app: App) -> list[State]:
    rows = schedules.of(app)
    return [State(entry, rows.get(entry.name), oneoffs.last(app, entry.name)) for entry in entries(app)]


def find(app: App, name: str) -> CronEntry:
    """The entry of that name, or NotFound with the nearest."""
    named = {entry.name: entry for entry in entries(app)}
    if name in named:
        return named[name]
    there = nearest(name, named, f"There are: {', '.join(named)}.")
    hint = there if named else "Entries are in app.json, under cron; they come with a push."
    raise NotFound(f"{app.name} has no cron entry {name[:80]!r}.", hint)


def run(platform: Platform, app: App, entry: CronEntry, actor: Actor | None = None) -> OneOff:
    """Start it now, whatever its time. StillRuns when that makes two at once and the entry forbids it; one that
    replaces ends those before it first."""
    with locks.held(platform.config.cron_lock(app.name)):
        if entry.policy != "allow":
            for before in _running(app, entry):
                if entry.policy == "forbid":
                    raise StillRuns(entry.name, before)
                oneoffs.stop(platform, before, _REPLACED)
        return oneoffs.start(
            platform,
            app,
            oneoffs.command_line(app, [entry.command]),
            kind=oneoffs.CRON,
            schedule=entry.name,
            actor=actor,
            env={NAME: entry.name},
        )


def missed(entry: CronEntry, due: Due, why: str) -> str:
    """ "tidy missed 3 runs, from 2026-11-27 12:01 to 2026-11-27 12:03 Europe/Berlin: the server was stopped"."""
    first, last = (crontab.clock_time(moment, entry.timezone) for moment in (due.first, due.last))
    when = f"of {first}" if due.passed == 1 else f"from {first} to {last}"
    if due.passed > crontab.MOST_COUNTED:
        count, when = f"more than {crontab.MOST_COUNTED} runs", f"from {first} on"
    else:
        count = f"{due.passed} run{'s' if due.passed > 1 else ''}"
    return f"{entry.name} missed {count}, {when} {entry.timezone}: {why}"


def _running(app: App, entry: CronEntry) -> list[OneOff]:
    return [one for one in oneoffs.unfinished(app) if one.kind == oneoffs.CRON and one.schedule == entry.name]
