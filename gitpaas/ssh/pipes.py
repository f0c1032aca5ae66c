"""Pipes to children."""

from __future__ import annotations

import os
from typing import IO


def write_all(pipe: IO[bytes], data: bytes) -> None:
    """Straight into the pipe: no copy in a buffer of Python's. BrokenPipeError when nobody reads."""
    left = memoryview(data)
    while left:
        left = left[os.write(pipe.fileno(), left) :]
