"""What the commands of a release printed: a file as a build's log is, but bounded, for nobody reads it as it grows."""

from __future__ import annotations

import logging
from pathlib import Path

from gitpaas.logs.build_log import BuildLog

_log = logging.getLogger(__name__)

_LARGEST = 1024 * 1024  # bytes
_START = 64 * 1024  # of it that stay when it becomes too much, with as much of the end as there is room for
_LEFT_OUT = b"\n... lines left out ...\n"


class ReleaseLog:
    """A Sink. When it becomes too large, its middle goes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = BuildLog(path)

    def write(self, data: bytes) -> None:
        self._log.write(data)
        try:
            if self._path.stat().st_size > _LARGEST:
                self._cut()
        except OSError as error:
            _log.warning("%s cannot be shortened: %s", self._path, error)

    def close(self) -> None:
        self._log.close()

    def _cut(self) -> None:
        text = self._path.read_bytes()
        start = text[: text.rindex(b"\n", 0, _START) + 1] if b"\n" in text[:_START] else text[:_START]
        end = text[-(_LARGEST // 2) :]
        fresh = self._path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(start.removesuffix(b"\n") + _LEFT_OUT + end[end.find(b"\n") + 1 :])
        fresh.rename(self._path)
        self._log.close()
        self._log = BuildLog(self._path)
