"""A build's log is a file first: the build writes it, and whoever watches follows it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gitpaas.descriptors import close_with

_log = logging.getLogger(__name__)

_POLL = 0.05  # seconds
_DONE_POLL = 0.25  # seconds; asking costs a query
_CHUNK = 64 * 1024


class BuildLog:
    """A Sink that appends to a file of mode 0600. A full disk costs lines of the log, not the build."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._fd: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._closing = close_with(self, os.close, self._fd)  # the server writes one line into some, and goes on

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view and self._fd is not None:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            _log.warning("%s lacks %d bytes: %s", self._path, len(view), error)

    def close(self) -> None:
        self._fd = None
        self._closing()


def read_build(path: Path) -> bytes:
    """All of it so far; nothing when the build has written nothing yet."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def follow_build(path: Path, done: Callable[[], bool], gone: Callable[[], bool]) -> Iterator[bytes]:
    """The log from its beginning, live, until the build is `done` and all was read, or the reader is `gone`."""
    offset, asked, ended = 0, float("-inf"), False
    while not gone():
        # Asked before reading: what was written before the end is read after it.
        if not ended and time.monotonic() - asked >= _DONE_POLL:
            ended, asked = done(), time.monotonic()
        if data := _read(path, offset):
            offset += len(data)
            yield data
        elif ended:
            return
        else:
            time.sleep(_POLL)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(_CHUNK)
    except FileNotFoundError:
        return b""
