"""Why a build failed: the app's fault, ours, or something that passes. Read from what BuildKit itself says.

BuildKit has no codes for it. Each rule below was read off a real failure (tests/unit/test_buildkit_trouble.py)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from gitpaas.blame import blame
from gitpaas.buildkit.progress import Progress
from gitpaas.errors import BuildFailed, GitpaasError, PackagesOutOfReach, ToolFailed, ToolOutOfReach

_TAIL = 15
_NO_PLACE = ("error: ", "time=", "-----")
_TRY_AGAIN = 75  # sysexits.h; Railpack uses it so

_EXIT = re.compile(r"did not complete successfully: exit code: (\d+)")
_PREFIXES = re.compile(
    r"^(error: )?(failed to solve: )?((rpc error: code = \w+ desc = )|(failed to load cache key: ))*"
)

_DAEMON = re.compile(
    r"code = Unavailable|error reading from server|failed to (dial|receive status)|no active session"
    r"|transport is closing|context canceled"
)
_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NETWORK = re.compile(
    r"dial tcp|i/o timeout|TLS handshake|connection re(set|fused)|unexpected EOF|: EOF$|no such host|server misbehaving"
    r"|network is unreachable|deadline exceeded|unexpected status.*: (429|5\d\d)|\b50[0234] \w|toomanyrequests"
    r"|broken pipe"
)
_MACHINE = re.compile(
    r"runc run failed: (?!unable to start container process: (exec|error during container init: exec))|failed to mount"
    r"|input/output error|failed to (set ?up|create) (network|CNI)|plugin type=|read-only file system"
    r"|too many open files"
)
_SOURCE = re.compile(r"failed to resolve source metadata for (\S+?): (.*)", re.DOTALL)
_DENIED = re.compile(
    r"pull access denied|authorization failed|401 Unauthorized|403 Forbidden|insufficient_scope|denied:"
)
_POLICY = re.compile(r"source .*denied by policy")
_FRONTEND = re.compile(r"'(\S+)' is not an allowed gateway source")
_MISSING_FILE = re.compile(r'failed to calculate checksum of ref \S+: "(.+)": not found')
_MISSING_SECRET = re.compile(r"secret (\S+): not found")


@dataclass(frozen=True)
class Trouble:
    """What to raise, and whether the same build may succeed when tried again."""

    error: GitpaasError
    passing: bool = False
    unseen: tuple[str, ...] = ()  # lines that explain it and were not shown while the build ran


def explain(progress: Progress) -> Trouble:
    """What went wrong in a build that has failed."""
    text = _said(progress)
    for rule in _RULES:
        if trouble := rule(text, progress):
            return trouble
    if progress.failed or any("failed to solve" in line for line in progress.complaint):
        return _fault(progress, _bare(text))
    return Trouble(ToolFailed(f"BuildKit failed: {_bare(text) or 'it said nothing'}"))


def _said(progress: Progress) -> str:
    errors = [line for line in progress.complaint if line.startswith("error: ")]
    return errors[-1] if errors else " ".join(list(progress.complaint)[-1:])


def _daemon(text: str, progress: Progress) -> Trouble | None:
    if not _DAEMON.search(text) or progress.failed:
        return None
    return Trouble(ToolFailed(f"BuildKit ended in the middle of the build: {_bare(text)}"), passing=True)


def _disk(text: str, progress: Progress) -> Trouble | None:
    if not _DISK.search(text):
        return None
    return Trouble(ToolFailed("The server's disk is full.", "Make room, then push the same commit again: gitpaas disk"))


def _exited(text: str, progress: Progress) -> Trouble | None:
    step, match = progress.failed, _EXIT.search(progress.failed.error if progress.failed else text)
    if match is None:
        return None
    name, lines = (step.name, tuple(step.lines)) if step else ("the build", ())
    return Trouble(blame(name, int(match[1]), lines), passing=int(match[1]) == _TRY_AGAIN)


def _machine(text: str, progress: Progress) -> Trouble | None:
    if not _MACHINE.search(text):
        return None
    return Trouble(ToolFailed(f"BuildKit cannot run the build's steps: {_bare(text)}"))


def _policy(text: str, progress: Progress) -> Trouble | None:
    if not _POLICY.search(text):
        return None
    return _fault(progress, f"No build may take what is other apps': {_bare(text)}")


def _frontend(text: str, progress: Progress) -> Trouble | None:
    match = _FRONTEND.search(text)
    if match is None:
        return None
    hint = "Use docker/dockerfile:1, or leave the syntax line away."
    return _fault(progress, f"The syntax {match[1]} is not allowed here", hint)


def _network(text: str, progress: Progress) -> Trouble | None:
    if not _NETWORK.search(text):
        return None
    if source := _SOURCE.search(text):
        hint = "If the image's name is right, look at the server's network."
        return Trouble(ToolOutOfReach(f"{source[1]} cannot be asked for: {_bare(source[2])}", hint), passing=True)
    if progress.failed and not progress.failed.is_internal:
        message = f"{progress.failed.name} failed: {_bare(text)}"
        return _fault(progress, message, passing=True, kind=PackagesOutOfReach)
    hint = "Look at the server's network, then push the same commit again."
    return Trouble(ToolOutOfReach(f"A registry cannot be reached: {_bare(text)}", hint), passing=True)


def _denied(text: str, progress: Progress) -> Trouble | None:
    source = _SOURCE.search(text)
    if source is None or not _DENIED.search(text):
        return None
    hint = "For a private image give the server its registry's credentials: gitpaas registry:login"
    return _fault(progress, f"{source[1]} does not exist, or may not be pulled", hint)


def _no_image(text: str, progress: Progress) -> Trouble | None:
    source = _SOURCE.search(text)
    if source is None or not source[2].rstrip().endswith("not found"):
        return None
    return _fault(progress, f"The image {source[1]} does not exist", "Look at the FROM lines.")


def _no_file(text: str, progress: Progress) -> Trouble | None:
    match = _MISSING_FILE.search(text)
    if match is None:
        return None
    hint = "Commit it, or look whether .dockerignore leaves it out."
    return _fault(progress, f"{match[1]} is not in the repository", hint)


def _no_secret(text: str, progress: Progress) -> Trouble | None:
    match = _MISSING_SECRET.search(text)
    if match is None:
        return None
    hint = f"Set it and push again: ssh paas config:set APP {match[1]}=..."
    return _fault(progress, f"The config var {match[1]} is not set", hint)


def _fault(
    progress: Progress,
    message: str,
    hint: str | None = None,
    *,
    passing: bool = False,
    kind: type[BuildFailed] = BuildFailed,
) -> Trouble:
    """The app's: with the place in its Dockerfile that BuildKit tells."""
    place = tuple(line.rstrip() for line in progress.complaint if not line.startswith(_NO_PLACE))[-_TAIL:]
    step = progress.failed.name if progress.failed and not progress.failed.is_internal else "build"
    return Trouble(kind(message, step=step, tail=place, hint=hint), passing, unseen=place)


def _bare(text: str) -> str:
    return _PREFIXES.sub("", text, count=1).strip()


# The first that fits.
_RULES: tuple[Callable[[str, Progress], Trouble | None], ...] = (
    _daemon, _exited, _disk, _policy, _frontend, _machine, _denied, _network, _no_image, _no_file, _no_secret,
)  # fmt: skip
