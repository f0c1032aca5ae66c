"""Refs of a push: which names are sane, and moving them by compare-and-swap with an honest answer for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dulwich.refs import check_ref_format

from gitpaas.errors import Conflict
from gitpaas.git.repository import RESERVED, Move, move

_LONGEST = 250  # bytes: a ref is a path, and becomes part of messages, file names and host names

# What git's ref transaction says, and what the client is told in `ng <ref> <reason>`.
_REASONS = (
    ("non-commit object", "a branch must point at a commit"),
    ("but expected", "fetch first"),
    ("reference already exists", "fetch first"),
    ("unable to resolve reference", "fetch first"),
    (".lock': File exists", "failed to lock"),
)


Verdicts = dict[Move, str | None]  # None: fine; else the reason why not


def judge_names(moves: Sequence[Move]) -> Verdicts:
    """Refuse names that are not sane refs, refs of ours, and a second move of the same ref."""
    seen: set[str] = set()
    verdicts: Verdicts = {}
    for one in moves:
        verdicts[one] = "multiple updates for ref not allowed" if one.ref in seen else problem(one.ref)
        seen.add(one.ref)
    return verdicts


def problem(name: str) -> str | None:
    """Why a ref of that name may not be written, or None. What git calls funny is refused as git refuses it."""
    data = name.encode("utf-8", "surrogateescape")
    if not name.startswith("refs/") or len(data) > _LONGEST or "\ufffd" in name or not check_ref_format(data):  # type: ignore[arg-type]
        return "funny refname"
    if any(f"{name}/".startswith(prefix) for prefix in RESERVED):
        return "deny updating a hidden ref"
    return None


def divide(moves: Sequence[Move], attempt: Callable[[Sequence[Move]], str | None]) -> Verdicts:
    """Attempt all at once; where the answer is a reason, each half, down to the culprits."""
    reason = attempt(moves) if moves else None
    if reason is None or len(moves) == 1:
        return dict.fromkeys(moves, reason)
    middle = len(moves) // 2
    return divide(moves[:middle], attempt) | divide(moves[middle:], attempt)


def transact(repository: Path, moves: Sequence[Move], *, only_check: bool = False) -> str | None:
    """All refs or none. None when it worked (or would, with `only_check`), else the reason."""
    try:
        move(repository, moves, only_check=only_check)
    except Conflict as error:
        return _reason(error.message)
    return None


def _reason(said: str) -> str:
    return next((reason for mark, reason in _REASONS if mark in said), "failed to update ref")
