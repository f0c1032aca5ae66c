"""One line of an app's log: `2026-11-23T22:23:24.123456Z web.1 v12 text`. Made here, taken apart here."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from gitpaas import rawfiles
from gitpaas.config import Config

PLATFORM = "gitpaas"  # the source of the platform's own lines
LONGEST = 16 * 1024  # bytes of one line; what is longer becomes several


class Line(NamedTuple):
    """`release` is None for the platform's own lines."""

    time: str
    source: str
    release: int | None
    text: str


def parse(line: str) -> Line:
    """The parts of a line that `compose` made."""
    moment, source, release, text = (*line.split(" ", 3), "", "", "")[:4]
    return Line(moment, source, int(release[1:]) if release[1:].isdecimal() else None, text)


def compose(moment: float, source: str, release: int | None, text: bytes) -> bytes:
    """A whole line with its newline, from what an app printed: any bytes. Colours stay; NULs and bad UTF-8 do not."""
    clean = text.removesuffix(b"\r").decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    version = "-" if release is None else f"v{release}"
    return f"{stamp(moment)} {source} {version} {clean}\n".encode()


@lru_cache(maxsize=16)  # a batch of lines has one time
def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def remove(config: Config, app: str) -> None:
    """Delete all logs of an app. Moved away first: the collector would write into a directory that is being emptied."""
    folder = config.logs(app)
    doomed = folder.with_name(f".{app}.{time.time_ns()}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def platform_line(config: Config, app: str, text: str) -> None:
    """Say something about an app in its own log. The collector puts it there, as it does with instances' output."""
    lines = b"".join(compose(time.time(), PLATFORM, None, line.encode()) for line in text.splitlines())
    fd = rawfiles.open_to_append(config.raw_log(app, PLATFORM))
    try:
        os.write(fd, lines)
    finally:
        os.close(fd)
