"""Ports that instances were found to listen on, where they were told another one: known to every process."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from gitpaas.config import Config


class FoundPorts:
    """A small file for each instance, removed with it."""

    def __init__(self, config: Config) -> None:
        self._folder = config.run / "ports"

    def all(self) -> dict[str, int]:
        """By the instance's id."""
        found = {}
        with suppress(FileNotFoundError):
            for key in os.listdir(self._folder):  # noqa: PTH208  (every second)
                if port := self.of(key):
                    found[key] = port
        return found

    def of(self, key: str) -> int | None:
        """Of one instance."""
        try:
            return int((self._folder / key).read_text())
        except (OSError, ValueError):
            return None

    def keep(self, key: str, port: int | None) -> None:
        """None: it listens where it was told after all."""
        path = self._folder / key
        if port is None:
            path.unlink(missing_ok=True)
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._folder / f".{key}.{os.getpid()}.{threading.get_ident()}"
        fresh.write_text(f"{port}\n")
        fresh.rename(path)
