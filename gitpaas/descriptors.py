"""File descriptors that are closed with the object that holds them, and one that wakes a thread from its poll."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import suppress


def close_with(owner: object, close: Callable[..., object], *args: object) -> Callable[[], object]:
    """`close(*args)` once nobody has the owner any more, or when what is returned is called: once, whichever is first.

    Not at the end of the process: the kernel closes all then, and a thread may still be reading."""
    finalizer = weakref.finalize(owner, close, *args)
    finalizer.atexit = False
    return finalizer


class Waker:
    """For one thread that polls it, or hands its fileno() to whatever polls for it."""

    def __init__(self) -> None:
        self._heard, self._rings = os.pipe()
        for fd in (self._heard, self._rings):
            os.set_blocking(fd, False)
            close_with(self, os.close, fd)

    def fileno(self) -> int:
        return self._heard

    def wake(self) -> None:
        """From any thread. When nobody polls just now, the next poll ends at once."""
        with suppress(BlockingIOError):  # rung so often that it will be heard anyway
            os.write(self._rings, b".")

    def was_woken(self) -> bool:
        """And not once more for the same wake()."""
        try:
            return bool(os.read(self._heard, 4096))
        except BlockingIOError:
            return False
