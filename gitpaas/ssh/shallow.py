"""The boundary of a shallow repository: the file `shallow`, commits whose parents are not here (gitformat-pack)."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from gitpaas import shell
from gitpaas.errors import Conflict
from gitpaas.git import lockfiles
from gitpaas.ssh.children import git_env

_PATIENCE = 5.0  # seconds that another process may hold the file


def read_shallow(repository: Path) -> list[str]:
    try:
        return (repository / "shallow").read_text().split()
    except FileNotFoundError:
        return []


def extend_shallow(repository: Path, commits: Sequence[str]) -> None:
    """Add those that are in the repository without all their parents. Before any ref leads to them."""
    if not commits or not (fresh := set(_without_parents(repository, commits))):
        return
    path, lock = repository / "shallow", repository / lockfiles.SHALLOW
    fd = _lock(lock)  # the name that git itself locks it by
    try:
        with os.fdopen(fd, "w") as file:
            file.writelines(f"{commit}\n" for commit in sorted(fresh.union(read_shallow(repository))))
            file.flush()
            os.fsync(fd)
        lock.rename(path)
    except BaseException:
        lock.unlink(missing_ok=True)
        raise


def _without_parents(repository: Path, commits: Sequence[str]) -> list[str]:
    parents = {commit: _parents(raw) for commit, raw in _read_commits(repository, commits).items()}
    wanted = sorted({parent for found in parents.values() for parent in found})
    missing = _missing(repository, wanted)
    return [commit for commit, found in parents.items() if missing.intersection(found)]


def _parents(raw: bytes) -> list[str]:
    header = raw.partition(b"\n\n")[0].splitlines()
    return [line[7:].decode() for line in header if line.startswith(b"parent ")]


def _read_commits(repository: Path, commits: Sequence[str]) -> dict[str, bytes]:
    """Those of them that are here, as they are stored: what `git log` says of parents is cut at the boundary."""
    out = _cat(repository, "--batch", commits)
    found = {}
    while out:
        head, _, out = out.partition(b"\n")
        words = head.split()
        if words[-1] == b"missing":
            continue
        size = int(words[2])
        if words[1] == b"commit":
            found[words[0].decode()] = out[:size]
        out = out[size + 1 :]
    return found


def _missing(repository: Path, objects: Sequence[str]) -> set[str]:
    lines = _cat(repository, "--batch-check", objects).decode().splitlines()
    return {line.split()[0] for line in lines if line.endswith(" missing")}


def _cat(repository: Path, how: str, objects: Sequence[str]) -> bytes:
    argv = ["git", f"--git-dir={repository}", "cat-file", how]
    return shell.capture(argv, env=git_env(), input="".join(f"{name}\n" for name in objects).encode())


def _lock(path: Path) -> int:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            if time.monotonic() > deadline and not lockfiles.free_shallow(path.parent):
                raise Conflict(f"{path.name} of this repository is locked.", "Push again in a moment.") from None
            time.sleep(0.05)
