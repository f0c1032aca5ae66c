"""Bare repositories: made here, readable by stock git, moved only in all-or-nothing ref transactions."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitpaas import shell
from gitpaas.config import git_environment, shipped
from gitpaas.errors import CommandFailed, Conflict
from gitpaas.git import lockfiles

RELEASES = "refs/releases/"  # v12
NOTES = "refs/notes/releases"

# Ours alone: never advertised to a client that pushes, never written by one. The first is not for fetching either.
HIDDEN = ("refs/builds/",)
RESERVED = (*HIDDEN, RELEASES, f"{NOTES}/")

_LARGE, _MANY_BYTES = 256 * 1024, 32 * 1024 * 1024  # of files that are searched: one, and all together
_MANY_PACKS = 50  # as gc.autoPackLimit
_LONGEST_NAME = 200  # bytes of a branch's: git makes a file of it, and a lock
_QUICK = 60.0  # seconds; every call here touches refs and a few objects only


@dataclass(frozen=True)
class Commit:
    id: str
    tree: str
    subject: str


@dataclass(frozen=True)
class Move:
    """A ref from `old` to `new`; all zeros mean "not there" on either side."""

    ref: str
    old: str
    new: str


def create(path: Path, home: Path, object_format: str = "sha1") -> None:
    """Make the bare repository with our hook in it. Safe to run twice: the hook is brought up to date."""
    if not (path / "HEAD").exists():
        shell.capture(
            [
                "git",
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                f"--object-format={object_format}",
                str(path),
            ],
            env=git_environment(),
            timeout=_QUICK,
        )
    install_hook(path, home)


def install_hook(path: Path, home: Path) -> None:
    """Write hooks/post-receive and where it finds this program, so that stock git deploys as well."""
    git(path, "config", "gitpaas.home", str(home))
    git(path, "config", "gitpaas.python", sys.executable)
    hook, fresh = path / "hooks" / "post-receive", path / "hooks" / "post-receive.new"
    hook.parent.mkdir(exist_ok=True)
    fresh.write_bytes(shipped("hooks/post-receive").read_bytes())
    fresh.chmod(0o755)
    fresh.rename(hook)


def hook_is_current(path: Path, home: Path) -> bool:
    """Whether the repository's hook and what it starts are this program's own, and it finds this state directory."""
    hook = path / "hooks" / "post-receive"
    if not hook.exists() or hook.read_bytes() != shipped("hooks/post-receive").read_bytes():
        return False
    config = (path / "config").read_text()
    return f"python = {sys.executable}\n" in config and f"home = {home}\n" in config


def read_ref(path: Path, ref: str) -> str | None:
    """The object id a ref points at, or None."""
    try:
        return git(path, "rev-parse", "--verify", "--quiet", ref).strip()
    except CommandFailed:
        return None


def commit(path: Path, commit_id: str) -> Commit:
    """Tree and subject line of a commit that is in the repository."""
    found, tree, subject = git(path, "log", "-1", "--format=%H%n%T%n%s", commit_id).split("\n", 2)
    return Commit(found, tree, subject.strip()[:200])


def is_ancestor(path: Path, old: str, new: str) -> bool:
    """Whether `new` contains `old`, so that moving from one to the other loses nothing."""
    try:
        git(path, "merge-base", "--is-ancestor", old, new)
    except CommandFailed:
        return False
    return True


def count_commits(path: Path, old: str, new: str) -> int:
    """How many commits `new` brings on top of `old` (all of them when `old` is all zeros)."""
    wanted = [new] if is_zero(old) else [new, f"^{old}"]
    try:
        return int(git(path, "rev-list", "--count", *wanted))
    except CommandFailed:
        return 0


def hold(path: Path, build: int, commit_id: str) -> None:
    """Keep a commit from being collected until its branch moves: refs/builds/12."""
    git(path, "update-ref", f"refs/builds/{build}", commit_id)


def let_go(path: Path, build: int) -> None:
    """Undo hold(). Not held is fine."""
    git(path, "update-ref", "-d", f"refs/builds/{build}")


def refs(path: Path, *patterns: str) -> list[str]:
    """Names of the refs that are, or are below, one of these."""
    return git(path, "for-each-ref", "--format=%(refname)", *patterns).split()


def set_refs(path: Path, wanted: Mapping[str, str | None]) -> None:
    """Each to its commit, wherever it is now; None removes it. All or none."""
    lines = [f"update {ref}\0{to}\0\0" if to else f"delete {ref}\0\0" for ref, to in wanted.items()]
    if lines:
        git(path, "update-ref", "--stdin", "-z", stdin="".join(lines).encode())


def existing(path: Path, commits: Sequence[str]) -> set[str]:
    """Those of these commits that the repository has."""
    if not commits:
        return set()
    asked = "".join(f"{commit}^{{commit}}\n" for commit in dict.fromkeys(commits))
    answers = git(path, "cat-file", "--batch-check=%(objectname)", stdin=asked.encode()).splitlines()
    return set(answers) & set(commits)


def entries(path: Path, commit_id: str, names: Sequence[str]) -> dict[str, str]:
    """Of these paths of a commit those that there are: {"apps/web": "tree 1f3a...", "README": "blob 77d0..."}."""
    listing = git(path, "ls-tree", "-z", "--full-tree", commit_id, "--", *names)
    lines = [line.split("\t", 1) for line in listing.split("\0") if line]
    return {name: " ".join(head.split()[1:3]) for head, name in lines}


def mentions(path: Path, commit_id: str, word: str) -> bool:
    """Whether a file of the commit has this word in it. Large ones are not looked at; of too many it is assumed."""
    lines = git(path, "ls-tree", "-r", "-z", "-l", "--full-tree", commit_id).split("\0")
    heads = [line.split(None, 4)[2:4] for line in lines if line]
    small = {oid: int(size) for oid, size in heads if size.isdecimal() and int(size) <= _LARGE}
    if sum(small.values()) > _MANY_BYTES:
        return True
    asked = "".join(f"{oid}\n" for oid in small)
    return word.encode() in _bytes(path, "cat-file", "--batch", "--buffer", stdin=asked.encode())


def fast_import(path: Path, stream: bytes) -> None:
    """Make objects and refs of a stream (git-fast-import(1)) that ends with `done`."""
    git(path, "fast-import", "--quiet", "--done", "--date-format=raw", stdin=stream)


def move(path: Path, moves: Sequence[Move], *, only_check: bool = False) -> None:
    """All refs by compare-and-swap, or none: Conflict when one is not where `old` says, or a branch is no commit.

    `only_check`: whether it would work at this moment; nothing moves."""
    lines = [f"update {m.ref}\0{m.new}\0{m.old}\0" for m in moves]
    data = "".join(["start\0", *lines, "prepare\0", "abort\0" if only_check else "commit\0"]).encode()
    try:
        git(path, "update-ref", "--stdin", "-z", stdin=data)
    except CommandFailed as error:
        raise Conflict("A ref moved meanwhile: " + " ".join(error.tail), "Fetch, merge and push again.") from error


def tidy(path: Path) -> None:
    """Each push leaves a pack: with many, git packs them anew, in the background, as after its own receive-pack.

    Never an error of the push: what cannot be tidied now is tidied after a later one."""
    if sum(1 for _ in path.glob("objects/pack/pack-*.pack")) <= _MANY_PACKS:
        return
    gentle = ["-c", "pack.threads=1", "-c", "pack.windowMemory=64m", "-c", "gc.autoDetach=true"]
    with suppress(CommandFailed):
        shell.capture(
            ["nice", "git", f"--git-dir={path}", *gentle, "gc", "--auto", "--quiet"],
            env=git_environment(),
            timeout=_QUICK,
        )


def is_branch_name(text: str) -> bool:
    """By git's own rules (git-check-ref-format(1), and no dash first) and short enough for the name of a file."""
    if not text.isprintable() or text.startswith("-") or len(text.encode()) > _LONGEST_NAME:
        return False
    try:
        shell.capture(["git", "check-ref-format", f"refs/heads/{text}"], env=git_environment(), timeout=_QUICK)
    except CommandFailed:
        return False
    return True


def set_head(path: Path, branch: str) -> None:
    """What `git clone` checks out."""
    git(path, "symbolic-ref", "HEAD", f"refs/heads/{branch}")


def is_zero(object_id: str) -> bool:
    """The all-zero id that git's protocol uses for "no such ref", SHA-1 or SHA-256."""
    return not object_id.strip("0")


def git(path: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Output of one git command on the bare repository, or CommandFailed with its last lines."""
    return _bytes(path, *arguments, stdin=stdin).decode("utf-8", "replace")


def _bytes(path: Path, *arguments: str, stdin: bytes | None) -> bytes:
    argv = ["git", f"--git-dir={path}", *arguments]

    def run() -> bytes:
        return shell.capture(argv, env=git_environment(), timeout=_QUICK, input=stdin)

    try:
        return run()
    except CommandFailed as error:
        if not (lockfiles.is_complaint(error.tail) and lockfiles.free(path)):
            raise
    return run()
