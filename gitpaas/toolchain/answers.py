"""Ask a binary for its version: whether it runs at all, and whether it is the one that was wanted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gitpaas import shell
from gitpaas.config import Config
from gitpaas.errors import CommandFailed, ToolFailed
from gitpaas.toolchain.pins import Binary

_PATIENCE = 20.0  # seconds


def answer(config: Config, path: Path) -> str:
    """The first line that the binary answers to --version. ToolFailed when it does not run."""
    # mise would ask the network for its newest version, and write that into its home.
    env = {"PATH": server_path(config), "HOME": "/dev/null", "MISE_OFFLINE": "1"}
    try:
        done = shell.run([str(path), "--version"], env=env, cwd=Path("/"), timeout=_PATIENCE)
    except CommandFailed as error:
        raise ToolFailed(f"{path} does not run: {error.message}") from error
    if done.code:
        raise ToolFailed(f"{path} does not run: --version exited with {done.code}")
    return done.tail[0].strip() if done.tail else ""


def prove(config: Config, binary: Binary, path: Path) -> str:
    """Its answer. ToolFailed unless it is the version that was wanted."""
    answered = answer(config, path)
    if binary.says not in answered:
        raise ToolFailed(f"{binary.name} should be {binary.says}, but answers: {answered}")
    return answered


def refuse_what_others_write(path: Path) -> None:
    """ToolFailed for a binary that any user of the machine could have put there: the server runs it, often as root."""
    for place in (path.parent, path):
        if place.stat().st_mode & stat.S_IWOTH:
            raise ToolFailed(f"{place} may be changed by every user of this machine", f"chmod o-w {place}")


def server_path(config: Config) -> str:
    return config.environ.get("PATH", os.defpath)
