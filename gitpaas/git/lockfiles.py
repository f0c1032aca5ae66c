"""git's own lock files. Whoever is killed while he writes refs leaves his, and git refuses these refs from then on, for
ever. Nothing in them says whose they are; but a git that holds one is a process that can be found."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from gitpaas import locks, tree
from gitpaas.linux import processes

SHALLOW = "shallow.lock"  # ours too: ssh/shallow.py

_SIGNS = (".lock': File exists", "could not lock config file")  # what git says of one that is there
_YOUNG = 2.0  # seconds; who holds one without being a git that we can see needs no longer
_OLD = 60.0  # where processes cannot be looked at
_READERS = ("upload-pack", "upload-archive", "pack-objects", "index-pack")  # may take long, and lock nothing
_LOCK = ".lock"
_WHERE = ("refs", "logs", "objects/info", "objects/pack")  # not all of objects: there may be 100,000

_Identity = tuple[int, int]


def is_complaint(said: Iterable[str]) -> bool:
    """Whether git has failed since one is there."""
    return any(sign in line for line in said for sign in _SIGNS)


def free(repository: Path) -> bool:
    """Remove those that nobody holds any more; whether there was one, so that it is worth another try."""
    return _free(repository, [path for path in _all(repository) if path.name != SHALLOW])


def free_shallow(repository: Path) -> bool:
    """The same for the one that a killed server may have left as well. For who has waited for it."""
    return _free(repository, [repository / SHALLOW])


def _all(repository: Path) -> Iterator[Path]:
    """Path.glob would raise when git removes a directory of refs meanwhile."""
    yield from repository.glob(f"*{_LOCK}")
    for place in _WHERE:
        for entry in tree.everything(repository / place):
            if entry.name.endswith(_LOCK):
                yield Path(entry.path)


def _free(repository: Path, paths: list[Path]) -> bool:
    seen = dict(_seen(paths))  # before the processes: who begins after that has none of these
    if not seen or _somebody_writes(repository):
        return False
    age = time.time() - max(changed for _, changed in seen.values()) / 1e9
    if not processes.can_be_seen():
        seen = seen if age >= _OLD else {}
    elif age < _YOUNG:
        time.sleep(min(_YOUNG, _YOUNG - age))
    if not dict(_seen(seen)):  # gone meanwhile, perhaps with the whole repository: nothing of it must be made anew
        return False
    with locks.held(repository / "description"):  # a file that git makes, and neither reads nor replaces
        abandoned = dict(_seen(seen)).items() & seen.items()  # not removed by somebody, and made anew
        for path, _ in abandoned:
            path.unlink(missing_ok=True)
    return bool(abandoned)


def _seen(paths: Iterable[Path]) -> Iterator[tuple[Path, _Identity]]:
    for path in paths:
        with suppress(FileNotFoundError):
            stat = path.stat()
            yield path, (stat.st_ino, stat.st_mtime_ns)


def _somebody_writes(repository: Path) -> bool:
    told = os.fsencode(repository)
    for process in processes.named("git"):
        words = processes.arguments(process)
        if any(reader.encode() in word for word in words for reader in _READERS):
            continue
        if any(told in word for word in (*words, *processes.variables(process))):
            return True
        if (place := processes.place(process)) and place.is_relative_to(repository):
            return True
    return False
