"""The raw files that output is appended to, `logs/<app>/raw/<name>.log`, and the bell for who collects them: the time
of `logs` itself. Directories in which nothing was are not asked again and again, but once it has rung."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def open_to_append(path: Path) -> int:
    """Made when it is not there, its directory too; the file descriptor is the caller's to close."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_new = not path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if is_new:  # rung afterwards: who comes then finds it
        with suppress(OSError):
            os.utime(path.parents[2])
    return fd


def rung_at(logs: Path) -> float:
    """When the bell in there was rung last, in seconds since the epoch; 0 when there are no logs at all."""
    try:
        return logs.stat().st_mtime
    except FileNotFoundError:
        return 0.0
