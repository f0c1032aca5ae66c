"""What the host runtime knows of each instance: a few small files, readable by any process, safe against any kill.

    <id>.json   the record: written whole, before anything is started
    <id>.pid    "PID START-TIME", left by the instance itself on its way into the sandbox
    <id>.exit   its exit code, left by its keeper

Whoever starts an instance holds a lock on the record, and the keeper inherits it: a record that has neither a pid
nor a locked lock is a start that died half-way.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gitpaas.linux import Cgroup, Process
from gitpaas.values import Exit

_WRITING = 0.5  # seconds that a keeper gets to write the exit code of what has just ended

_Version = tuple[int, int, int]  # of a file: its inode, when it was written, its size


@dataclass(frozen=True)
class Record:
    """An instance's labels, and all that must be cleaned up after it. No secrets."""

    id: str
    app: str
    release: int
    process: str
    number: int
    restarts: int
    port: int | None
    started_at: float
    boot: str
    one_off: bool  # somebody waits for it: it ends with them
    cgroup: Cgroup | None
    command: int | None = None  # InstanceSpec.one_off
    last_exit: Exit | None = None  # InstanceSpec.last_exit


class Records:
    """The directory of records."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[_Version, Record]] = {}  # by file name, of those that all() found

    def add(self, record: Record) -> int:
        """Write it; the file descriptor holds its lock. It is never there without being locked."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.path(record)
        draft = path.with_suffix(".new")
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.write(fd, json.dumps(asdict(record), default=str).encode())
            draft.rename(path)
        except OSError:
            os.close(fd)
            draft.unlink(missing_ok=True)
            raise
        return fd

    def all(self) -> list[Record]:
        """Oldest first. A file that is no record of ours is passed over."""
        known, found = self._known, {}
        for name, version in self._listed():
            before = known.get(name)
            if before and before[0] == version:
                found[name] = before
            elif record := _load(f"{self._folder}/{name}"):
                found[name] = version, record
        self._known = found
        return sorted((record for _, record in found.values()), key=lambda record: (record.started_at, record.id))

    def find(self, key: str) -> Record | None:
        return _load(f"{self._folder}/{key}.json")

    def _listed(self) -> Iterator[tuple[str, _Version]]:
        """A record is written once, so what was read of it stays true: all are asked for several times a second."""
        with suppress(FileNotFoundError), os.scandir(self._folder) as files:
            for file in files:
                if file.name.endswith(".json"):
                    with suppress(FileNotFoundError):
                        status = file.stat()
                        yield file.name, (status.st_ino, status.st_mtime_ns, status.st_size)

    def path(self, record: Record) -> Path:
        return self._folder / f"{record.id}.json"

    def pid_file(self, record: Record) -> Path:
        return self._folder / f"{record.id}.pid"

    def exit_file(self, record: Record) -> Path:
        return self._folder / f"{record.id}.exit"

    def process(self, record: Record) -> Process | None:
        """The instance's first process, dead or alive; None as long as it has not got that far."""
        words = _read(f"{self._folder}/{record.id}.pid").split()
        return Process(int(words[0]), int(words[1])) if len(words) == 2 else None

    def is_held(self, record: Record) -> bool:
        """Whether its starter or its keeper lives."""
        try:
            fd = os.open(self.path(record), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look at the same moment do not take each other for the keeper.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def exit(self, record: Record) -> tuple[int | None, float | None]:
        """Exit code and time; the keeper of one that ended just now is given a moment. None, None: nobody saw it."""
        for _ in _tries(_WRITING):
            # By one opening: it may be removed at any moment.
            with suppress(OSError), self.exit_file(record).open() as file:
                if text := file.read().strip():
                    return int(text), os.fstat(file.fileno()).st_mtime
            if not self.is_held(record):
                break
        return None, None

    def remove(self, record: Record) -> None:
        """The record goes last: as long as it is there, somebody will come and clean up."""
        for _ in _tries(_WRITING):
            if not self.is_held(record):
                break
        for path in (self.pid_file(record), self.exit_file(record), self.path(record)):
            path.unlink(missing_ok=True)


def _load(path: str) -> Record | None:
    try:
        fields: dict[str, Any] = json.loads(_read(path))
        if group := fields["cgroup"]:
            fields["cgroup"] = Cgroup(group["version"], tuple(Path(name) for name in group["paths"]))
        if last := fields.get("last_exit"):
            fields["last_exit"] = Exit(**last)
        return Record(**fields)
    except (ValueError, KeyError, TypeError):
        return None


def _read(path: str) -> str:
    with suppress(OSError), open(path, "rb", buffering=0) as file:  # noqa: PTH123  (the quickest, and it is asked often)
        return file.read().decode()
    return ""


def _tries(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(0.002)
