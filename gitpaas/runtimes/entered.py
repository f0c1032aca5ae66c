"""Programs that people have started in an instance: found by a mark in their environment, ended with who has started
them. A file for each, locked as long as somebody is at its streams, tells the others to the next who looks."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitpaas import locks
from gitpaas.config import Config
from gitpaas.linux import Process, processes
from gitpaas.runtimes.ending import end_all

_MOMENT = 2.0  # seconds
_MARK = "GITPAAS_ENTERED"


@dataclass(frozen=True)
class Entered:
    """One of them; `key` is unique."""

    key: str
    grace: float

    @property
    def env(self) -> dict[str, str]:
        """What it must have in its environment."""
        return {_MARK: self.key}

    def end(self, first: Process | None, *, kindly: bool) -> None:
        """All of it, with `first` and its session: SIGHUP and a grace (`kindly`), SIGKILL."""
        end_all(first, None, f"{_MARK}={self.key}", self.grace if kindly else 0, None, signal.SIGHUP)


@contextmanager
def entry(config: Config, instance: str) -> Iterator[Entered]:
    """A new one in that instance, for the body."""
    key = f"{instance}.{secrets.token_hex(4)}"
    path = config.run / "entered" / key
    with locks.held(path):
        yield Entered(key, config.stop_grace)
        path.unlink(missing_ok=True)


def sweep(config: Config) -> None:
    """End those whose starter was killed."""
    folder = config.run / "entered"
    with suppress(FileNotFoundError):
        for key in os.listdir(folder):  # noqa: PTH208  (every second)
            if _is_old(folder / key) and not locks.is_held(folder / key):
                Entered(key, 0).end(None, kindly=False)
                (folder / key).unlink(missing_ok=True)


def first_of(pid: int, container: str) -> Process | None:
    """The process with this number, if it is of this machine and in that container."""
    process = processes.find(pid) if pid else None
    return process if process and container in processes.cgroups(process) else None


def _is_old(path: Path) -> bool:
    """Older than the moment between making the file and locking it."""
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > _MOMENT
    return False
