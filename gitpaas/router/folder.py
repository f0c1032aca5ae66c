"""Directories of the routing table, which are asked for every second: what is in one, and whether that is as it was."""

from __future__ import annotations

import os
from pathlib import Path

Version = tuple[int, int]  # of a directory: its inode, and when it was changed

# A directory that changed a moment ago may change once more within the same tick of its file system's clock.
_SAME_TICK = 1.0


def names(directory: str | Path) -> list[str]:
    """Sorted, so that of a host's answers the newest comes first. Without pathlib: every host is asked each second."""
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []


def version(directory: str | Path, now: float) -> Version | None:
    """None when that says nothing: it is not there, or was changed just now."""
    try:
        status = os.stat(directory)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (status.st_ino, status.st_mtime_ns) if now - status.st_mtime > _SAME_TICK else None
