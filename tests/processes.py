"""What any process of the machine can see of the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def read_all(what: str) -> Iterator[tuple[int, bytes]]:
    """/proc/PID/<what> of every process, with its pid. Those that end meanwhile are left out.

    Not by Path.glob, which raises when one ends between its listing and its stat."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / what).read_bytes()


def with_arguments(*words: str) -> list[int]:
    """The pids of those that have all these words among their arguments."""
    wanted = {word.encode() for word in words}
    return [pid for pid, text in read_all("cmdline") if wanted <= set(text.split(b"\0"))]


def mentioning(text: str | Path) -> dict[int, bytes]:
    """The command lines, by pid, of those that have it anywhere in an argument; but for this process."""
    return {pid: line for pid, line in read_all("cmdline") if os.fsencode(text) in line and pid != os.getpid()}


@contextmanager
def watching(what: str) -> Iterator[set[bytes]]:
    """/proc/PID/<what> of every process, looked at all the time."""
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            seen.update(text for _, text in read_all(what))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
