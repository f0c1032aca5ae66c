"""Locks the kernel frees: `flock` on small files, so a killed process never leaves a stale one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock for the body. Yields whether it was had: always True when `wait`."""
    fd = _open(path)
    try:
        yield _lock(fd, wait)
    finally:
        os.close(fd)


def is_held(path: Path) -> bool:
    """Whether some process (or another open file of this one) holds it just now."""
    with held(path, wait=False) as mine:
        return not mine


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Not inherited: a child that outlives us must not keep our lock.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(fd: int, wait: bool) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
