"""Locks the kernel frees: `flock` on small files, so a killed process never leaves a stale one."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, *, wait: bool = True, patience: float = 0.0) -> Iterator[bool]:
    """Hold an exclusive lock for the body. Yields whether it was had: always True when `wait`.

    `patience`: seconds to try without `wait`, where others ask is_held() and so have it for an instant."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Not inherited: a child that outlives us must not keep our lock.
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _lock(fd, fcntl.LOCK_EX, wait, patience)
    finally:
        os.close(fd)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold a lock together with all who share it, for the body: nobody has it alone meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(fd, fcntl.LOCK_SH, wait=True)
        yield
    finally:
        os.close(fd)


def is_held(path: Path) -> bool:
    """Whether some process (or another open file of this one) holds it just now. Leaves no file behind."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask at the same moment do not take each other for the holder.
        return not _lock(fd, fcntl.LOCK_SH, wait=False)
    finally:
        os.close(fd)


def sweep(folder: Path) -> None:
    """Remove the lock files that nobody holds. For who makes sure that nobody takes one of them just now."""
    for path in folder.iterdir():
        if not is_held(path):
            path.unlink(missing_ok=True)


def _lock(fd: int, kind: int, wait: bool, patience: float = 0.0) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True
