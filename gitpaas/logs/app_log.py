"""An app's log on the disk: app.log and up to three older parts, together about as large as the setting log_size."""

from __future__ import annotations

import os
from pathlib import Path

PARTS = 4


def path(folder: Path, age: int = 0) -> Path:
    """The part being written (0) or an older one (1 the newest of them)."""
    return folder / ("app.log" if age == 0 else f"app.log.{age}")


def parts(folder: Path) -> list[Path]:
    """All parts there can be, newest first."""
    return [path(folder, age) for age in range(PARTS)]


def rotate(folder: Path, budget: int) -> None:
    """Begin a new part when the current one has its share of the budget. The oldest part goes."""
    if position(folder)[1] < budget // PARTS:
        return
    for age in range(PARTS - 1, 0, -1):
        if (younger := path(folder, age - 1)).exists():
            younger.rename(path(folder, age))


def position(folder: Path) -> tuple[int, int]:
    """Which file the current part is (its inode) and how long; zeros when there is none."""
    return inode_and_size(path(folder))


def inode_and_size(part: Path) -> tuple[int, int]:
    try:
        found = part.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_size


def append(folder: Path, data: bytes) -> None:
    """Append, and make the part when there is none."""
    fd = os.open(path(folder), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def cut_back(folder: Path, size: int) -> None:
    os.truncate(path(folder), size)
