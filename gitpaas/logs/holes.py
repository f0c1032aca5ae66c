"""Giving back the disk under what was read of a file that somebody else still appends to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h
_BLOCK = 4096


def release(path: Path, begin: int, end: int) -> int:
    """Free the whole blocks between two offsets; the file keeps its size. Returns where the freed part ends.

    That is `begin` where the system or the file system has no holes: then nothing is freed."""
    end -= end % _BLOCK
    if end <= begin or not sys.platform.startswith("linux"):
        return begin
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        return end if _punch(fd, begin, end - begin) else begin
    finally:
        os.close(fd)


def _punch(fd: int, offset: int, length: int) -> bool:
    import ctypes  # late: an idle server does without its megabyte

    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(libc.fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length) == 0)
