"""The output of one container, copied from the engine into the raw file of its instance: each line once, whoever copies
and however often that is cut short.

A mark beside says how far the copy is: the size that the raw file had, and the times of the last lines. The engine is
asked for what is not older than these, and those that are known are passed over. What the file has beyond that size
was written by somebody who was killed before the mark was: so many bytes are passed over too. Whoever copies holds a
lock on the mark.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from gitpaas import locks, rawfiles
from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine.stream import Frames, Stream
from gitpaas.runtimes.docker import names

_WINDOW = 64  # lines: output and errors are listed in nearly the order of their times, not quite
_LATE = 0.02  # seconds that a line may come after those that were written after it
_STAMP = 30  # bytes: 2026-11-24T02:14:18.630011680Z

_Line = tuple[bytes, int]  # its stamp and a hash of its text


class Copy:
    """Of one instance. EngineFailed or OSError from each method: try again later."""

    def __init__(self, engine: Engine, key: str, raw: Path, mark: Path, *, follow: bool) -> None:
        """Opens the engine's stream; its end comes when there is no more, or with `follow` when the container ends."""
        self._raw = raw
        self._mark = mark
        self._frames = Frames()
        size, last = _load(mark)
        self._last: deque[bytes] = deque(last, maxlen=_WINDOW)
        self._known = Counter(last)
        self._newest = max(last, default=b"")
        self._recent: deque[_Line] = deque()  # of the last moment before the newest one
        self._recently: set[_Line] = set()
        self._repeats = False
        self._surplus = max(0, _size(raw) - size)
        query: dict[str, str | int] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        if last:
            query["since"] = _since(min(last))
        self._stream = Stream(engine.address, "GET", f"/containers/{names.container(key)}/logs", query)

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def pending(self) -> bool:
        return self._stream.pending

    def step(self, timeout: float) -> bool:
        """Copy what has come; False at the end. TimeoutError when nothing comes."""
        try:
            data = self._stream.read(timeout)
        except BlockingIOError:
            return True
        if lines := [line for frame in self._frames.feed(data) if (line := self._fresh(frame))]:
            self._write(b"".join(lines))
            self._forget_old()
        return bool(data)

    def close(self) -> None:
        self._stream.close()

    def _fresh(self, frame: bytes) -> bytes:
        """What of it is not in the file yet."""
        stamp, text = frame[:_STAMP], frame[_STAMP + 1 :]
        if self._known[stamp] > 0:
            self._known[stamp] -= 1
            return b""
        line = stamp, hash(text)
        if self._is_repeated(line):
            return b""
        self._last.append(stamp)
        self._recent.append(line)
        self._recently.add(line)
        passed = min(self._surplus, len(text))
        self._surplus -= passed
        return text[passed:]

    def _is_repeated(self, line: _Line) -> bool:
        """When its file is rotated under a flood the engine (20.10) may begin that file anew, in the same stream. The
        file may be younger than a line can be late: then we have seen this very one."""
        stamp, _ = line
        if stamp > self._newest:
            self._newest, self._repeats = stamp, False
        elif stamp < self._newest and not self._repeats:
            self._repeats = line in self._recently or _moment(self._newest) - _moment(stamp) > _LATE
        return self._repeats

    def _forget_old(self) -> None:
        oldest = _before(self._newest, _LATE)
        while self._recent and self._recent[0][0] < oldest:
            self._recently.discard(self._recent.popleft())

    def _write(self, data: bytes) -> None:
        fd = rawfiles.open_to_append(self._raw)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.utime(fd, times=(_moment(self._last[-1]),) * 2)  # the log tells that time, however late we come
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        _save(self._mark, size, self._last)


def copy_all(engine: Engine, key: str, raw: Path, mark: Path, patience: float) -> None:
    """What is there now, to its end. EngineFailed, OSError or TimeoutError when that takes too long."""
    copy, deadline = Copy(engine, key, raw, mark, follow=False), time.monotonic() + patience
    try:
        while copy.step(max(0.01, deadline - time.monotonic())):
            pass
    finally:
        copy.close()


@contextmanager
def held(config: Config, key: str, patience: float = 0.0) -> Iterator[Path | None]:
    """The mark of an instance while nobody else copies; None when somebody does, for longer than `patience` seconds."""
    path = folder(config) / key
    with locks.held(path, wait=False, patience=patience) as mine:
        yield path if mine else None


def folder(config: Config) -> Path:
    """Of all marks, by the ids of instances."""
    return config.run / "copies"


def _load(mark: Path) -> tuple[int, list[bytes]]:
    size, *last = mark.read_bytes().split() or [b"0"]
    return int(size), last


def _save(mark: Path, size: int, last: Iterable[bytes]) -> None:
    """In place: the lock is on this very file."""
    data = b"\n".join((b"%d" % size, *last, b""))
    fd = os.open(mark, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _moment(stamp: bytes) -> float:
    return datetime.fromisoformat(stamp.decode("ascii")).timestamp()


def _before(stamp: bytes, seconds: float) -> bytes:
    """As a stamp that is not as exact: to be compared with others."""
    moment = datetime.fromisoformat(stamp.decode("ascii")) - timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f").encode()


def _since(stamp: bytes) -> str:
    """Seconds since the epoch with all nine digits, which no float has."""
    text = stamp.decode("ascii")
    return f"{int(datetime.fromisoformat(text[:19] + 'Z').timestamp())}.{text[20:29]}"
