"""A program that outlives us: it inherits the open file of its lock, so the kernel says whether one runs, frees the
lock with its death, and lets no second one start. Its pid is in the file, left by the shell that becomes it."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitpaas import locks
from gitpaas.linux import sockets


class LongLived:
    """The one that holds this lock, whoever started it."""

    def __init__(self, lock: Path, *, may_hide: bool = False) -> None:
        """`may_hide`: we may not be let look at its files, as when it has capabilities of its own (for port 80)."""
        self.lock = lock
        self._may_hide = may_hide

    def is_running(self) -> bool:
        return locks.is_held(self.lock)

    def pid(self) -> int | None:
        """None as well while it is just being started, or when only what it has started still holds the lock."""
        if not self.is_running():
            return None
        try:
            pid = int(self.lock.read_text())
        except ValueError:
            return None
        files = sockets.open_files(pid)
        is_it = str(self.lock.resolve()) in files or (self._may_hide and not files)
        return pid if is_it else None

    def end(self, goodbye: float, killed: Callable[[], object] = lambda: None) -> bool:
        """SIGTERM, after `goodbye` seconds SIGKILL. Whether nobody holds the lock when as many have gone by again.

        `killed` is called after each SIGKILL: what the program has started may hold its lock as well."""
        began = time.monotonic()
        self._signal(signal.SIGTERM)
        while self.is_running():
            if time.monotonic() > began + goodbye:
                self._signal(signal.SIGKILL)
                killed()
            if time.monotonic() > began + 2 * goodbye:
                return False
            time.sleep(0.01)
        return True

    @contextmanager
    def taken(self) -> Iterator[int]:
        """The lock, its file emptied and open to be inherited. Waits: who asks whether one runs has it an instant."""
        with self._opened() as fd:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.ftruncate(fd, 0)
            yield fd

    @contextmanager
    def taken_if_free(self) -> Iterator[int | None]:
        """The same; None while somebody has it."""
        with self._opened() as fd:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(fd, 0)
            except BlockingIOError:
                yield None
            else:
                yield fd

    @contextmanager
    def _opened(self) -> Iterator[int]:
        fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)

    def _signal(self, number: int) -> None:
        if (pid := self.pid()) is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


@contextmanager
def output(path: Path, limit: int) -> Iterator[int]:
    """A file for what it says, to be inherited; begun anew beyond `limit` bytes."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(fd).st_size > limit:
            os.ftruncate(fd, 0)
        yield fd
    finally:
        os.close(fd)
