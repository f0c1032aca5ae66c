"""Reading a pushed tree. Its author chose every name and link in it, and the reader may be root: nothing is ever
read through a link that leaves the tree."""

from __future__ import annotations

import os
from pathlib import Path

from gitpaas.errors import BuildFailed

_LARGEST = 64 * 1024 * 1024


def read_bytes(tree: Path, name: str) -> bytes | None:
    """The content of the regular file `name`, None when there is none. BuildFailed for a link out of the tree."""
    path = tree / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):  # missing, a loop of links, a name too long
        return None
    if not real.is_relative_to(tree.resolve()):
        raise BuildFailed(f"{name} is a link that leaves the repository", step=name, hint="Commit the file itself.")
    if not real.is_file():
        return None
    # What was looked at is what is read, and a pipe that took its place keeps nobody waiting.
    fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise BuildFailed(f"{name} is larger than {_LARGEST >> 20} MiB", step=name)
    return data


def read_text(tree: Path, name: str) -> str | None:
    """The same as text. BuildFailed when it is not UTF-8."""
    data = read_bytes(tree, name)
    if data is None:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BuildFailed(f"{name} is not UTF-8 text", step=name, hint=f"Save {name} as UTF-8.") from None


def has_file(tree: Path, name: str) -> bool:
    """Whether `name` is a regular file, or a link to one inside the tree."""
    path = tree / name
    try:
        return path.is_file() and path.resolve().is_relative_to(tree.resolve())
    except (OSError, RuntimeError):
        return False
