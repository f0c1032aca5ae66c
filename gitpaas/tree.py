"""Reading a pushed tree. Its author chose every name and link in it, and the reader may be root: nothing is ever
read through a link that leaves the tree. A running instance of the same app can reach into the tree of a build
(/proc/PID/root of its own user's processes) and change it while we look, so a file is held before it is judged."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gitpaas.errors import BuildFailed

_LARGEST = 64 * 1024 * 1024
_DISK_BLOCK = 512  # bytes, what st_blocks counts in, whatever the filesystem
_LARGEST_TEXT = 4 * 1024 * 1024  # of what is parsed: parsers take many times the memory of what they read
# On Linux a file can be held without being opened: to open a device or a pipe may already do something.
_HOLD = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_CLOEXEC


def read_bytes(tree: Path, name: str, largest: int = _LARGEST) -> bytes | None:
    """The content of the regular file `name`, None when there is none. BuildFailed for a link out of the tree."""
    try:
        held = os.open(tree / name, _HOLD)
    except (OSError, ValueError):  # missing, a loop of links, a name too long or with a NUL in it
        return None
    try:
        if not _place(held, tree / name).is_relative_to(tree.resolve()):
            raise BuildFailed(f"{name} is a link that leaves the repository", step=name, hint="Commit the file itself.")
        if not stat.S_ISREG(os.fstat(held).st_mode):
            return None
        data = _read(held, largest + 1)
    finally:
        os.close(held)
    if len(data) > largest:
        raise BuildFailed(f"{name} is larger than {largest >> 10:,} KiB", step=name)
    return data


def read_text(tree: Path, name: str, largest: int = _LARGEST_TEXT) -> str | None:
    """The same as text. BuildFailed when it is not UTF-8."""
    data = read_bytes(tree, name, largest)
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


def size(tree: Path) -> int:
    """Bytes of all files in it."""
    total = 0
    for entry in everything(tree):
        with suppress(FileNotFoundError):
            total += 0 if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size
    return total


def taken(path: Path) -> int:
    """Bytes of the disk under a file or a whole tree: holes do not count, and what has several names counts once."""
    total, seen = 0, set()
    with suppress(OSError):
        total += path.lstat().st_blocks * _DISK_BLOCK
    for entry in everything(path):
        with suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                if status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
            total += status.st_blocks * _DISK_BLOCK
    return total


def everything(tree: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    """All that is in a tree, directories before what is in them, however deep. No link is followed."""
    waiting = [os.fspath(tree)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:  # gone meanwhile, or deeper than a path can say
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _place(held: int, path: Path) -> Path:
    """Where the held file is, whatever `path` leads to by now. Elsewhere than on Linux no app has a user of its own."""
    return Path(os.readlink(f"/proc/self/fd/{held}")) if hasattr(os, "O_PATH") else path.resolve()  # noqa: PTH115


def _read(held: int, most: int) -> bytes:
    fd = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_CLOEXEC) if hasattr(os, "O_PATH") else os.dup(held)
    with os.fdopen(fd, "rb") as file:
        return file.read(most)
