"""Child processes of a session: git with nobody's settings, within limits, and hooks that outlive their client."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence

from gitpaas import shell
from gitpaas.config import git_environment

# A push of 269 bytes (a bomb of deltas) otherwise costs git 2 GB of memory.
_MEMORY = 1024**3
_SECONDS = 600  # of processor time

# Within that limit: small windows on packs, few arenas of malloc. And blobs of 16 MB and more are streamed.
_SETTINGS = {
    "core.bigFileThreshold": "16m",
    "core.packedGitWindowSize": "32m",
    "core.packedGitLimit": "256m",
    "pack.windowMemory": "64m",
    "pack.threads": "2",
    "safe.directory": "*",
}


def git_env(settings: Sequence[tuple[str, str]] = (), **variables: str) -> dict[str, str]:
    """The environment of a git child: our settings, nobody's own."""
    chosen = [*_SETTINGS.items(), *settings]
    env = {**git_environment(), "MALLOC_ARENA_MAX": "2", "GIT_CONFIG_COUNT": str(len(chosen)), **variables}
    for number, (name, value) in enumerate(chosen):
        env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = name, value
    return env


def limit(process: subprocess.Popen[bytes]) -> None:
    """Bound a child that reads what a client sent."""
    shell.limit(process, _MEMORY, _SECONDS)


class Orphans:
    """Hooks whose client has gone: they live on; somebody must reap them in the end."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.append(process)

    def reap(self) -> int:
        """Forget those that have ended. How many are left."""
        with self._lock:
            self._processes = [process for process in self._processes if process.poll() is None]
            return len(self._processes)
