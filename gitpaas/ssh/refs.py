"""Refs of a push: which names are sane, and moving them by compare-and-swap with an honest answer for each."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dulwich.refs import check_ref_format

from gitpaas.repository import HIDDEN_PREFIXES, is_zero
from gitpaas.ssh.children import git_env

_LONGEST = 250  # bytes: a ref is a path, and becomes part of messages, file names and host names
_TIMEOUT = 300  # seconds, for 100,000 refs on a slow disk

# What git's ref transaction says, and what the client is told in `ng <ref> <reason>`.
_REASONS = (
    ("non-commit object", "a branch must point at a commit"),
    ("but expected", "fetch first"),
    ("reference already exists", "fetch first"),
    ("unable to resolve reference", "fetch first"),
    (".lock': File exists", "failed to lock"),
)


@dataclass(frozen=True)
class Command:
    """One line of a push: the ref `name` from `old` to `new`. All zeros: not there."""

    old: str
    new: str
    name: str

    @property
    def deletes(self) -> bool:
        return is_zero(self.new)

    @property
    def line(self) -> str:
        return f"{self.old} {self.new} {self.name}\n"


Verdicts = dict[Command, str | None]  # None: fine; else the reason why not


def judge_names(commands: Sequence[Command]) -> Verdicts:
    """Refuse names that are not sane refs, refs of ours, and a second command for the same ref."""
    seen: set[str] = set()
    verdicts: Verdicts = {}
    for command in commands:
        twice = command.name in seen
        verdicts[command] = "multiple updates for ref not allowed" if twice else problem(command.name)
        seen.add(command.name)
    return verdicts


def problem(name: str) -> str | None:
    """Why a ref of that name may not be written, or None. What git calls funny is refused as git refuses it."""
    data = name.encode("utf-8", "surrogateescape")
    if not name.startswith("refs/") or len(data) > _LONGEST or "\ufffd" in name or not check_ref_format(data):  # type: ignore[arg-type]
        return "funny refname"
    if any(f"{name}/".startswith(prefix) for prefix in HIDDEN_PREFIXES):
        return "deny updating a hidden ref"
    return None


def move(repository: Path, commands: Sequence[Command]) -> Verdicts:
    """Each ref for itself. All in one transaction when that works; else halves are tried, down to the culprits."""
    return divide(commands, lambda some: transact(repository, some))


def divide(commands: Sequence[Command], attempt: Callable[[Sequence[Command]], str | None]) -> Verdicts:
    """Ask about all at once; where the answer is a reason, about each half, down to the culprits."""
    reason = attempt(commands) if commands else None
    if reason is None or len(commands) == 1:
        return dict.fromkeys(commands, reason)
    middle = len(commands) // 2
    return divide(commands[:middle], attempt) | divide(commands[middle:], attempt)


def transact(repository: Path, commands: Sequence[Command], *, only_check: bool = False) -> str | None:
    """All refs or none. None when it worked (or would, with `only_check`), else the reason.

    git's own transaction looks at each old value under the ref's lock, and that branches point at commits.
    """
    moves = "".join(f"update {c.name}\0{c.new}\0{c.old}\0" for c in commands)
    data = f"start\0{moves}prepare\0{'abort' if only_check else 'commit'}\0".encode()
    result = subprocess.run(
        ["git", f"--git-dir={repository}", "update-ref", "--stdin", "-z"],
        input=data,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=git_env(),
        timeout=_TIMEOUT,
        check=False,
        start_new_session=True,
    )
    return _reason(result.stderr.decode("utf-8", "replace")) if result.returncode else None


def _reason(said: str) -> str:
    return next((reason for mark, reason in _REASONS if mark in said), "failed to update ref")
