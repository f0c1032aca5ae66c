"""Output that comes faster than it is read. Between two looks of the collector an app may write a gigabyte; what will
be left out of that anyway is given back to the disk fifty times a second, by a thread that is there as long as such
files are. The app notices nothing: it is its own file that it writes to."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable
from pathlib import Path

from gitpaas.logs import holes

_PAUSE = 0.02  # seconds


class Floods:
    """Safe against a kill: who reads next leaves out what is further than `budget` behind the end, which only grows."""

    def __init__(self, budget: int) -> None:
        self.reading = threading.Lock()  # whoever holds it while looking at sizes and reading finds nothing given back
        self._budget = budget
        self._files: dict[Path, int] = {}  # how far the disk was given back
        self._is_watched = False

    def watch(self, files: Iterable[Path]) -> None:
        """These, and no others from now on."""
        with self.reading:
            self._files = {path: self._files.get(path, 0) for path in files}
            if self._files and not self._is_watched:
                self._is_watched = True
                threading.Thread(target=_run, args=(weakref.ref(self),), name="floods", daemon=True).start()

    def cut(self) -> bool:
        """Give back what nobody will read; False when there is nothing to be watched."""
        files = self._watched()
        for path in files:
            self._cut(path)
        return bool(files)

    def _watched(self) -> list[Path]:
        with self.reading:
            self._is_watched = bool(self._files)
            return list(self._files)

    def _cut(self, path: Path) -> None:
        try:
            with self.reading:
                begin, end = self._files.get(path, 0), path.stat().st_size - self._budget
            freed = holes.release(path, begin, end)  # which may wait for the disk, and nobody for it
        except OSError:  # it is gone, or what is wrong with it is told by who reads it
            freed = None
        with self.reading:
            if freed is None:
                self._files.pop(path, None)
            elif path in self._files:
                self._files[path] = freed


def _run(watched: weakref.ref[Floods]) -> None:
    """Until nobody floods any more, or whoever collects is gone: it is not the thread that keeps him."""
    while (floods := watched()) and floods.cut():
        del floods
        time.sleep(_PAUSE)
