"""Raw files: what instances append their output to. Listing them quickly, and reading what is new."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gitpaas.logs.cutting import cut
from gitpaas.logs.ledger import Entry
from gitpaas.logs.lines import PLATFORM

_ID = re.compile(r"[^.]+\.v(?P<release>\d+)\.(?P<label>[^.]+\.\d+)\.[^.]+\.log")  # app.v12.web.1.0f3a9c2e.log
_CHUNK = 256 * 1024
# Of one file in one round, so that one that shouts does not hold up the others. Short lines cost most time and memory.
_CHUNKS = 16
_LINES = 50_000


class Raw(NamedTuple):
    """A raw file as it was found in this round."""

    folder: str
    name: str
    inode: int
    size: int
    written_at: float  # seconds since the epoch

    @property
    def path(self) -> Path:
        return Path(self.folder, self.name)

    def again(self) -> Raw:
        """As it is now."""
        status = os.stat(self.path)  # noqa: PTH116 (as often as there is output)
        return self._replace(size=status.st_size, written_at=status.st_mtime)

    @property
    def source(self) -> str:
        """Whose it is by its name, which is the instance's id: one that has come and gone is seen by nobody."""
        match = _ID.fullmatch(self.name)
        return match["label"] if match else "unknown"

    @property
    def release(self) -> int | None:
        match = _ID.fullmatch(self.name)
        return int(match["release"]) if match else None

    @property
    def is_platform(self) -> bool:
        return self.name == f"{PLATFORM}.log"


def found_in(folder: str) -> list[Raw]:
    """All raw files of an app, in the order of their last writes, so that the log is nearly in the order of time."""
    found: list[Raw] = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as files:
        for file in files:
            if file.name.endswith(".log"):
                status = file.stat(follow_symlinks=False)
                found.append(Raw(folder, file.name, status.st_ino, status.st_size, status.st_mtime))
    return sorted(found, key=lambda raw: raw.written_at)


def read_lines(raw: Raw, entry: Entry, *, take_rest: bool) -> list[bytes]:
    """New lines, without their newlines; the entry's offset moves behind them.

    `take_rest`: nobody waits any longer for the end of a half line."""
    lines: list[bytes] = []
    with raw.path.open("rb", buffering=0) as file:
        for _ in range(_CHUNKS):
            data = os.pread(file.fileno(), min(_CHUNK, raw.size - entry.offset), entry.offset)
            new, used = cut(data, take_rest=take_rest and entry.offset + len(data) >= raw.size)
            lines += new
            entry.offset += used
            if not used or len(lines) >= _LINES:
                break
    return lines
