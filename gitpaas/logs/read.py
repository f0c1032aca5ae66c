"""Reading an app's log: its last lines, and what comes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from gitpaas.config import Config
from gitpaas.logs import app_log
from gitpaas.logs.lines import matches

_POLL = 0.05  # seconds
_BLOCK = 64 * 1024


def tail(config: Config, app: str, lines: int, process: str | None = None) -> list[str]:
    """The last lines, oldest first, of one process type (`web`), one instance (`web.1`), or all."""
    return _tail(_Cursor(config.logs(app)), lines, process)


def follow(config: Config, app: str, process: str | None, gone: Callable[[], bool], lines: int = 0) -> Iterator[str]:
    """The last `lines` and then every new one, with no gap and none twice. Ends when the reader or the app is gone."""
    folder = config.logs(app)
    cursor = _Cursor(folder)
    yield from _tail(cursor, lines, process)
    was_there = False
    while not gone():
        if new := cursor.read():
            yield from (line.decode("utf-8", "replace") for line in new if matches(line, process))
            continue
        is_there = folder.exists()
        if was_there and not is_there:
            return
        was_there = is_there
        time.sleep(_POLL)


class _Cursor:
    """A place between two lines that survives rotation: which part (by inode) and how far. First the very end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = (app_log.inode_and_size(part) for part in app_log.parts(folder))
        self.inode, size = next((place for place in found if place[0]), (0, 0))
        self.offset = self._after_last_newline(size)

    def read(self) -> list[bytes]:
        """New whole lines, from the part we were in and then from every younger one."""
        if app_log.position(self.folder) == (self.inode, self.offset):
            return []
        return [line for part in reversed(self._parts_from_here()) for line in self._rest_of(part)]

    def parts_until_here(self) -> list[Path]:
        """The part we are in and the older ones, newest first."""
        parts = app_log.parts(self.folder)
        while parts and app_log.inode_and_size(parts[0])[0] != self.inode:
            parts.pop(0)
        return parts

    def _parts_from_here(self) -> list[Path]:
        """Newest first, down to the one we are in; the newest alone when ours has been rotated away."""
        parts = app_log.parts(self.folder)
        if self.inode == 0:
            return parts  # there was no log when we began: all of it is new
        inodes = [app_log.inode_and_size(part)[0] for part in parts]
        return parts[: inodes.index(self.inode) + 1] if self.inode in inodes else parts[:1]

    def _rest_of(self, part: Path) -> list[bytes]:
        try:
            with part.open("rb", buffering=0) as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self.inode or found.st_size < self.offset:
                    self.inode, self.offset = found.st_ino, 0
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        return whole.split(b"\n")[:-1]

    def _after_last_newline(self, size: int) -> int:
        """Where the last whole line before `size` ends: a line may be half written just now."""
        for part in self.parts_until_here()[:1]:
            with suppress(FileNotFoundError), part.open("rb", buffering=0) as file:
                begin = max(0, size - _BLOCK)
                return begin + os.pread(file.fileno(), size - begin, begin).rfind(b"\n") + 1
        return 0


def _tail(cursor: _Cursor, count: int, process: str | None) -> list[str]:
    """The last `count` lines before the cursor."""
    found: list[bytes] = []
    for part in cursor.parts_until_here():
        with suppress(FileNotFoundError), part.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            end = cursor.offset if status.st_ino == cursor.inode else status.st_size
            for line in _backwards(file.fileno(), end):
                if len(found) >= count:
                    break
                if matches(line, process):
                    found.append(line)
    return [line.decode("utf-8", "replace") for line in reversed(found)]


def _backwards(fd: int, end: int) -> Iterator[bytes]:
    """The lines before `end`, which is the end of a line; the last one first."""
    rest = b""
    offset = max(end - 1, 0)  # without the last newline
    while offset > 0:
        size = min(_BLOCK, offset)
        offset -= size
        first, *lines = (os.pread(fd, size, offset) + rest).split(b"\n")
        yield from reversed(lines)
        rest = first
    if end:
        yield rest
