"""Where things are on this machine for this user, and how the quickstart calls programs and reports."""

from __future__ import annotations

import getpass
import os
import pwd
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gitpaas.config import Config

CLONE = Path(__file__).resolve().parent.parent
GITPAAS = Path(sys.executable).parent / "gitpaas"


class Failed(Exception):
    """Told to the user as it is."""


@dataclass(frozen=True)
class Place:
    """Where things are on this machine, for this user."""

    config: Config
    home: Path
    ssh_config: Path
    sample: Path

    @property
    def known_hosts(self) -> Path:
        """Of `paas` alone."""
        return self.config.home / "known_hosts"

    @property
    def ssh(self) -> list[str]:
        """How to call ssh. OpenSSH takes ~ from the user database, not from $HOME, so it may have to be told."""
        usual = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh" / "config"
        return ["ssh"] if self.ssh_config == usual else ["ssh", "-F", str(self.ssh_config)]

    @property
    def git_env(self) -> dict[str, str]:
        return os.environ | ({} if self.ssh == ["ssh"] else {"GIT_SSH_COMMAND": shlex.join(self.ssh)})


def gitpaas(*args: str) -> str:
    return call([str(GITPAAS), *args])


def call(argv: list[str]) -> str:
    """Standard output. Failed with what the program said when it exits with anything but 0."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed((done.stderr or done.stdout).strip() or f"{shlex.join(argv)} exited with {done.returncode}")
    return done.stdout


def succeeds(argv: list[str]) -> bool:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def tell(word: str, text: str) -> None:
    print(f"{word:>8}  {text}", flush=True)


def who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def shown(path: Path) -> str:
    """With ~ for the home directory, as people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def reachable(bind: str) -> str:
    """The address to connect to when the server listens on `bind`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)
