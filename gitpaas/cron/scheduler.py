"""The one scheduler of the server: once a minute, what is due of all live releases' cron entries is run.

Each entry's minutes are decided on once and in order (Schedule.looked_at): the minute that is under way is run; those
that went by while nobody looked, since the server was stopped or the clock was moved ahead, are told and not made up
for. A clock that was set back finds its minutes decided on, and nothing runs twice; further back than three hours it is
taken for a clock that was put right, as Debian's cron does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf

from gitpaas import cron, crontab, events, oneoffs
from gitpaas.apps import schedules
from gitpaas.errors import GitpaasError
from gitpaas.instances.news import Tell
from gitpaas.platform import Platform
from gitpaas.store import App, OneOff, Schedule
from gitpaas.values import CronEntry

_log = logging.getLogger(__name__)

_ACTION = "cron"
_MINUTE = 60.0
_JUMP = 30.0  # seconds by which the clock may differ from the time that passed
_PUT_RIGHT = 3 * 3600.0  # seconds back
_AT_ONCE = 4  # runs that are being started at the same time

Run = Callable[[Platform, App, CronEntry], OneOff]


class Scheduler:
    """Remembers what saves work in the next round, and what it has told already."""

    def __init__(
        self,
        platform: Platform,
        tell: Tell,
        *,
        run: Run = cron.run,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._platform = platform
        self._tell = tell
        self._run = run
        self._clock = clock
        self._steady = steady
        self._seen: tuple[float, float] | None = None  # both clocks at the last look
        self._entries: dict[int, tuple[int | None, dict[str, CronEntry]]] = {}  # by app: the release, and its entries
        self._next: dict[int, tuple[int | None, float, float]] = {}  # by schedule: release, looked_at, the next moment
        self._told: dict[int, object] = {}  # by schedule: why it does not run, when that has been told

    def run_once(self) -> None:
        """Look at the clock; when a minute has begun since the last time, at the entries."""
        now, steady = self._clock(), self._steady()
        if self._seen is None or now // _MINUTE != self._seen[0] // _MINUTE:
            with self._platform.store.session():
                self._round(now, self._why_missed(now, steady))
        self._seen = now, steady

    def _why_missed(self, now: float, steady: float) -> str:
        if self._seen is None:
            return "the server was stopped"
        jumped = (now - self._seen[0]) - (steady - self._seen[1])
        return "the clock was moved ahead, or the machine slept" if jumped > _JUMP else "the server was too busy"

    def _round(self, now: float, why: str) -> None:
        rows = schedules.everywhere()
        self._forget_gone(rows)
        due = [row for row in rows if self._needs_decision(row, now)]
        if due:  # a start takes a while: several at the same time, and each is decided on right before it
            with ThreadPoolExecutor(min(_AT_ONCE, len(due)), thread_name_prefix="cron") as together:
                list(together.map(lambda row: self._decide_safely(row, now, why), due))

    def _needs_decision(self, row: Schedule, now: float) -> bool:
        try:
            entry = self._entry_of(row)
            if entry is None or entry.suspended or row.suspended:
                return False
            return self._is_behind(row, now) or self._next_moment(row, entry) <= now
        except Exception:
            _log.exception("cron entry %s of %s", row.name, row.app.name)
            return False

    def _decide_safely(self, row: Schedule, now: float, why: str) -> None:
        """A fault in one never keeps the others from running."""
        try:
            with self._platform.store.session():
                if (entry := self._entry_of(row)) and self._decide(row, entry, now, why):
                    self._start(row, entry)
        except Exception:
            _log.exception("cron entry %s of %s", row.name, row.app.name)

    def _decide(self, row: Schedule, entry: CronEntry, now: float, why: str) -> bool:
        """Whether it runs now; the decision on all minutes until now is taken and told."""
        if self._is_behind(row, now):
            self._wait(row, entry, now)
            return False
        due = crontab.look(entry.schedule, entry.timezone, row.looked_at, now)
        current = now - now % _MINUTE
        if row.app.stopped:
            if schedules.claim(row, current):
                self._once(row, "stopped", f"{entry.name} does not run while the app is stopped", "ok")
            return False
        if not schedules.claim(row, current, due, why):
            return False
        if due.passed:
            self._both(row.app.name, cron.missed(entry, due, why))
        return due.now is not None

    @staticmethod
    def _is_behind(row: Schedule, now: float) -> bool:
        return row.looked_at > now + _MINUTE

    def _wait(self, row: Schedule, entry: CronEntry, now: float) -> None:
        """The clock was set back behind what was decided on."""
        until = f"{crontab.clock_time(row.looked_at, entry.timezone)} {entry.timezone}"
        if row.looked_at - now > _PUT_RIGHT:
            if schedules.claim(row, now):
                text = f"{entry.name} goes on from now, not from {until}: the clock was set back"
                self._both(row.app.name, text)
        elif self._moment_after(entry, now) <= row.looked_at:
            text = f"{entry.name} goes on after {until}, so that nothing runs twice: the clock was set back"
            self._once(row, "set back", text)

    def _start(self, row: Schedule, entry: CronEntry) -> None:
        app = row.app
        try:
            one_off = self._run(self._platform, app, entry)
        except cron.StillRuns as error:
            self._once(row, error.one_off.id, f"{entry.name} is skipped: {oneoffs.label(error.one_off)} still runs")
        except GitpaasError as error:
            self._tell(app.name, f"{_ACTION} {entry.name} did not start: {error.message}")
        else:
            self._told.pop(row.id, None)
            self._tell(app.name, f"{_ACTION} {entry.name} runs as {oneoffs.label(one_off)}")

    def _entry_of(self, row: Schedule) -> CronEntry | None:
        """None in the instant in which the app's release changes."""
        app: App = row.app
        known = self._entries.get(app.id)
        if known is None or known[0] != app.release:
            known = app.release, {entry.name: entry for entry in cron.entries(app)}
            self._entries[app.id] = known
        return known[1].get(row.name)

    def _next_moment(self, row: Schedule, entry: CronEntry) -> float:
        """Worked out once for each decision, however often it is asked."""
        known = self._next.get(row.id)
        if known is None or known[:2] != (row.app.release, row.looked_at):
            known = row.app.release, row.looked_at, self._moment_after(entry, row.looked_at)
            self._next[row.id] = known
        return known[2]

    @staticmethod
    def _moment_after(entry: CronEntry, moment: float) -> float:
        found = crontab.next_moment(entry.schedule, entry.timezone, moment)
        return inf if found is None else found

    def _forget_gone(self, rows: Sequence[Schedule]) -> None:
        apps, there = {row.app.id for row in rows}, {row.id for row in rows}
        self._entries = {app: known for app, known in self._entries.items() if app in apps}
        self._next = {row: known for row, known in self._next.items() if row in there}
        self._told = {row: reason for row, reason in self._told.items() if row in there}

    def _once(self, row: Schedule, reason: object, text: str, result: str = "failed") -> None:
        """Not again until it has run, or does not run for another reason."""
        if self._told.get(row.id) != reason:
            self._told[row.id] = reason
            self._both(row.app.name, text, result)

    def _both(self, app: str, text: str, result: str = "failed") -> None:
        self._tell(app, f"{_ACTION} {text}")
        events.record(_ACTION, text, app=app, result=result)
