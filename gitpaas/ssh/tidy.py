"""Packs: each push leaves one. git packs them anew when there are many, as it does after its own receive-pack."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from gitpaas.ssh.children import git_env

_MANY = 50  # as gc.autoPackLimit
_QUICK = 60.0  # seconds: it looks whether there is something to do, and goes on in the background


def tidy(repository: Path) -> None:
    """Never an error of the push: what cannot be tidied now is tidied after a later one."""
    if sum(1 for _ in repository.glob("objects/pack/pack-*.pack")) <= _MANY:
        return
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            ["git", f"--git-dir={repository}", "gc", "--auto", "--quiet"],
            env=git_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=_QUICK,
            check=False,
        )
