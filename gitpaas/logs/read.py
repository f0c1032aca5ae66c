"""Reading an app's log: its last lines, and what comes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from gitpaas.config import Config
from gitpaas.logs import app_log
from gitpaas.logs.selection import ALL, Selection

_POLL = 0.05  # seconds
_BLOCK = 64 * 1024
_SOME, _MUCH = 5000, 1024 * 1024  # lines that are looked at together, and bytes: an app may fill its log with long ones


def tail(config: Config, app: str, lines: int | None, wanted: Selection = ALL) -> Iterator[str]:
    """The last lines that are wanted, oldest first; with None all that are kept."""
    return _before(_Cursor(config.logs(app)), lines, wanted)


def follow(
    config: Config, app: str, gone: Callable[[], bool], lines: int | None = 0, wanted: Selection = ALL
) -> Iterator[str]:
    """The same and then every new one, with no gap and none twice. Ends when the reader or the app is gone."""
    folder = config.logs(app)
    cursor = _Cursor(folder)
    yield from _before(cursor, lines, wanted)
    was_there = False
    while not gone():
        if new := cursor.read():
            yield from map(_text, wanted.pick(new))
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


def _before(cursor: _Cursor, count: int | None, wanted: Selection) -> Iterator[str]:
    """The last `count` lines before the cursor, or all of them."""
    with ExitStack() as stack:
        parts = _open_parts(cursor, wanted.since, stack)
        lines = _all(parts, wanted) if count is None else _last(parts, count, wanted)
        yield from map(_text, lines)


def _open_parts(cursor: _Cursor, since: float, stack: ExitStack) -> list[tuple[int, int]]:
    """File descriptors of the parts with lines since then, newest first, and where to stop in each. All are opened
    before the first is read: they may be rotated meanwhile."""
    found: dict[int, tuple[int, int]] = {}
    for part in cursor.parts_until_here():
        with suppress(FileNotFoundError):
            file = stack.enter_context(part.open("rb", buffering=0))
            status = os.fstat(file.fileno())
            if status.st_mtime < since:
                break
            end = cursor.offset if status.st_ino == cursor.inode else status.st_size
            found.setdefault(status.st_ino, (file.fileno(), end))
    return list(found.values())


def _last(parts: Sequence[tuple[int, int]], count: int, wanted: Selection) -> Sequence[bytes]:
    found: list[bytes] = []
    for fd, end in parts if count else ():
        for some in _portions(_backwards(fd, end)):
            found += wanted.pick(some)
            if len(found) >= count:
                return found[:count][::-1]
    return found[::-1]


def _all(parts: Sequence[tuple[int, int]], wanted: Selection) -> Iterator[bytes]:
    for fd, end in reversed(parts):
        for some in _portions(_forwards(fd, end)):
            yield from wanted.pick(some)


def _portions(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    some: list[bytes] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line)
        if len(some) == _SOME or size >= _MUCH:
            yield some
            some, size = [], 0
    if some:
        yield some


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _forwards(fd: int, end: int) -> Iterator[bytes]:
    """The lines before `end`, which is the end of a line."""
    rest, offset = b"", 0
    while offset < end and (data := os.pread(fd, min(_BLOCK, end - offset), offset)):
        offset += len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


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
