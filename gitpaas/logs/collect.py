"""From the raw files that instances append to, into each app's one bounded log."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from gitpaas import rawfiles
from gitpaas.config import Config
from gitpaas.logs import app_log, holes, ledger
from gitpaas.logs.floods import Floods
from gitpaas.logs.ledger import Entry, Ledger
from gitpaas.logs.lines import compose
from gitpaas.logs.raw import Raw, found_in, read_lines
from gitpaas.values import Instance, Survey

_log = logging.getLogger(__name__)

_HALF_LINE = 1.0  # seconds that a line without its end is waited for
_LOOK_FOR_ORPHANS = 5.0  # seconds
_LOOK_AGAIN = 1.0  # seconds, while some of what runs cannot be seen
_GIVE_BACK = 1024 * 1024  # bytes read before their disk is given back
_QUIET_REST = 1.0  # seconds between two looks at directories in which nothing was
_SAME_TICK = 1.0  # seconds, far above any kernel's or file system's clock
_KEEP = 64 * 1024  # bytes left in a raw file, for whoever shows the last words of a crash


class Collector:
    """One thread of the server runs collect_once() every fraction of a second; nobody else writes app.log."""

    def __init__(self, config: Config, survey: Callable[[], Survey]) -> None:
        self._config = config
        self._survey = survey
        self._ledgers: dict[str, Ledger] = {}
        self._writers: dict[tuple[str, str], Instance] = {}  # by app and name of the raw file
        self._is_blind = False  # some of what runs cannot be seen: no file is taken for an orphan
        self._asked = float("-inf")
        self._logs = config.all_logs
        self._due: list[str] = []  # the apps that are asked in the next round, when nobody rings
        self._rung = 0.0  # when all directories were asked last, by the bell and by our own clock
        self._asked_all = float("-inf")
        self._folders: dict[str, str] = {}
        self._floods = Floods(config.log_size)
        self._behind: set[Path] = set()  # the raw files that come faster than they are read, in this round
        self._quiet: dict[str, float] = {}  # when the directory of an app was last changed, with nothing in it

    def collect_once(self) -> int:
        """Take what is new in all raw files; the number of lines."""
        # Listed before the runtime is asked: a file that it then does not know has no writer any more.
        if self._has_rung():
            self._due = self._apps()
            self._forget_gone(frozenset(self._due))
        found = {app: files for app in self._due if (files := self._found_in(app))}
        self._due = [app for app in self._due if app not in self._quiet]
        self._ask_runtime(found)
        self._behind = set()
        try:
            return sum(self._collect_safely(app, files) for app, files in found.items())
        finally:
            self._floods.watch(self._behind)

    def _apps(self) -> list[str]:
        try:
            # Several times a second. A dot begins what is being removed.
            return [name for name in os.listdir(self._logs) if name[0] != "."]  # noqa: PTH208
        except FileNotFoundError:
            return []

    def _has_rung(self) -> bool:
        """Whether apps came or went, or something may be where nothing was: most apps of a large server run nothing.
        Every second all the same, since not everybody has to ring."""
        rung, now = rawfiles.rung_at(self._logs), time.monotonic()
        # It may have been rung again within the same tick.
        if rung == self._rung and time.time() - rung > _SAME_TICK and now - self._asked_all < _QUIET_REST:
            return False
        self._rung, self._asked_all = rung, now
        return True

    def _forget_gone(self, apps: Collection[str]) -> None:
        for known in (self._ledgers, self._folders, self._quiet):
            for app in known.keys() - apps:
                del known[app]

    def _folder(self, app: str) -> str:
        """Where an app's raw files are; remembered, since joining paths is most of the work of an idle round."""
        if app not in self._folders:
            self._folders[app] = str(self._config.raw_logs(app))
        return self._folders[app]

    def _found_in(self, app: str) -> list[Raw]:
        """The raw files of an app. A directory that was empty is read again once it has changed."""
        folder = self._folder(app)
        try:
            changed = os.stat(folder).st_mtime  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            changed = 0.0
        if self._quiet.get(app) == changed:
            return []
        found = found_in(folder)
        # One that changed a moment ago may change once more within the same tick of the kernel's clock.
        if not found and time.time() - changed > _SAME_TICK:
            self._quiet[app] = changed
        else:
            self._quiet.pop(app, None)
        return found

    def _ask_runtime(self, found: dict[str, list[Raw]]) -> None:
        strangers = any(self._is_stranger(app, raw) for app, files in found.items() for raw in files)
        age = time.monotonic() - self._asked
        if age >= _LOOK_FOR_ORPHANS or (strangers and (not self._is_blind or age >= _LOOK_AGAIN)):
            survey = self._survey()
            seen = {(i.app, i.log.name): i for i in survey.instances if i.log}
            self._is_blind = bool(survey.unseen)
            self._writers = self._writers | seen if self._is_blind else seen
            self._asked = time.monotonic()

    def _is_orphan(self, app: str, raw: Raw) -> bool:
        return not self._is_blind and self._is_stranger(app, raw)

    def _is_stranger(self, app: str, raw: Raw) -> bool:
        return not raw.is_platform and (app, raw.name) not in self._writers

    def _collect_safely(self, app: str, files: Sequence[Raw]) -> int:
        try:
            return self._collect_app(app, files)
        except OSError as error:
            # What is remembered on the disk counts: half a write must not be taken for a whole one.
            self._ledgers.pop(app, None)
            if self._config.logs(app).exists():
                _log.warning("output of %s stays uncollected for now: %s", app, error)
            return 0

    def _collect_app(self, app: str, files: Sequence[Raw]) -> int:
        book = self._ledgers.get(app) or ledger.load(self._config.logs(app))
        self._ledgers[app] = book
        files = [raw for raw in files if self._has_news(app, book, raw)]
        if not files:
            return 0
        before = book.copy()
        taken = [self._take(app, book, raw) for raw in files]
        lines = [line for _, new in taken for line in new]
        if lines:
            app_log.rotate(book.folder, self._config.log_size)
            book.commit(before, b"".join(lines))
        for raw, _ in taken:
            self._tidy(app, book, raw)
        return len(lines)

    def _has_news(self, app: str, book: Ledger, raw: Raw) -> bool:
        entry = book.entries.get(raw.name)
        return entry is None or (entry.inode, entry.offset) != (raw.inode, raw.size) or self._is_orphan(app, raw)

    def _take(self, app: str, book: Ledger, raw: Raw) -> tuple[Raw, list[bytes]]:
        """New lines of one raw file, as they go into the log, and what it was then; its entry moves on."""
        entry = self._entry(app, book, raw)
        if raw.size == entry.offset:
            return raw, []
        with self._floods.reading:
            raw = raw.again()
            is_over = self._is_orphan(app, raw) or time.time() - raw.written_at >= _HALF_LINE
            notice = _skip(raw, entry, self._config.log_size)
            texts = read_lines(raw, entry, take_rest=is_over)
        if notice:
            self._behind.add(raw.path)
        if raw.is_platform:
            return raw, [text + b"\n" for text in texts]
        return raw, [compose(raw.written_at, entry.source, entry.release, text) for text in [*notice, *texts]]

    def _entry(self, app: str, book: Ledger, raw: Raw) -> Entry:
        entry = book.entries.get(raw.name)
        if entry is None or entry.inode != raw.inode or raw.size < entry.offset:
            entry = book.entries[raw.name] = Entry(raw.inode, source=raw.source, release=raw.release)
        if writer := self._writers.get((app, raw.name)):
            entry.source, entry.release = writer.label, writer.release
        return entry

    def _tidy(self, app: str, book: Ledger, raw: Raw) -> None:
        """Give back the disk under what was collected; remove the file when its writer is gone and all is read."""
        entry = book.entries[raw.name]
        if self._is_orphan(app, raw) and entry.offset >= raw.size:
            raw.path.unlink(missing_ok=True)
            del book.entries[raw.name]
        elif entry.offset - _KEEP - entry.freed >= _GIVE_BACK and raw.path not in self._behind:
            with suppress(FileNotFoundError):
                _give_back(raw, entry)


def _skip(raw: Raw, entry: Entry, budget: int) -> list[bytes]:
    """Leave out what would be rotated away at once: output that came faster than it could be read."""
    missed = raw.size - entry.offset - budget
    if missed <= 0:
        return []
    entry.offset += missed
    return [f"... {missed} bytes of output left out ...".encode()]


def _give_back(raw: Raw, entry: Entry) -> None:
    freed = holes.release(raw.path, entry.freed, entry.offset - _KEEP)
    if freed == entry.freed and entry.offset == raw.path.stat().st_size:
        # No holes here. What is written in this instant is lost: the price of a bounded file.
        os.truncate(raw.path, 0)
        entry.offset = freed = 0
    entry.freed = freed
