"""Take the wanted binaries out of a release archive, wherever in it they lie."""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from gitpaas.errors import ToolFailed
from gitpaas.toolchain.pins import Tool

_MOST = 1024**3  # bytes unpacked


def unpack(archive: Path, tool: Tool, target: Path) -> None:
    """Write the tool's binaries into the directory `target`. ToolFailed when one that is required is not there.

    Only plain files of those very names leave the archive: no path in it is followed, no link, no mode."""
    try:
        with tarfile.open(archive, "r|gz") as members:
            _take(members, tool, target)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ToolFailed(f"{archive.name} cannot be unpacked: {error}") from error
    missing = [binary.name for binary in tool.required if not (target / binary.name).exists()]
    if missing:
        raise ToolFailed(f"{archive.name} has no {', '.join(missing)}")


def _take(members: tarfile.TarFile, tool: Tool, target: Path) -> None:
    left = _MOST
    for member in _wanted(members, tool):
        left -= member.size
        if left < 0:
            raise ToolFailed(f"{members.name!s} unpacks to more than {_MOST // 1024**2} MB")
        name = PurePosixPath(member.name).name
        content = members.extractfile(member)
        descriptor = os.open(target / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o755)  # whatever the umask
            shutil.copyfileobj(content, file)  # type: ignore[arg-type]  # not None of a plain file


def _wanted(members: tarfile.TarFile, tool: Tool) -> Iterable[tarfile.TarInfo]:
    return (member for member in members if member.isreg() and PurePosixPath(member.name).name in tool.binaries)
