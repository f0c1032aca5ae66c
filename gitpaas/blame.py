"""Why a build step failed, in the user's words, read from its last lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from gitpaas.errors import BuildFailed, PackagesOutOfReach

_TAIL = 15
_BEFORE = 2  # lines before the one that names the cause
_KILLED = 137


class _Cause(NamedTuple):
    sign: re.Pattern[str]
    message: str  # after the step's name
    hint: str
    error: type[BuildFailed]


def _cause(sign: str, message: str, hint: str, error: type[BuildFailed] = BuildFailed) -> _Cause:
    return _Cause(re.compile(sign), message, hint, error)


# The first that fits: what the user can mend before what only looks like the network.
_CAUSES = (
    _cause(
        r"npm ci.{0,40}can only install packages when|npm ci.{0,40}requires an existing package-lock",
        "failed: package-lock.json does not match package.json",
        "Run `npm install`, commit package-lock.json, and push again.",
    ),
    _cause(
        r"[Ll]ockfile at .?uv\.lock.? needs to be updated|[Ff]ailed to parse .?uv\.lock",
        "failed: uv.lock does not match pyproject.toml",
        "Run `uv lock`, commit uv.lock, and push again.",
    ),
    _cause(
        r"[Nn]o solution found when resolving|not found in the package registry",
        "failed: these dependencies do not exist, or do not go together",
        "Mend what the lines above name, commit, and push again.",
    ),
    _cause(
        r"npm (error|ERR!) (code (ERESOLVE|ETARGET|E404)|404 )",
        "failed: these dependencies do not exist, or do not go together",
        "Mend what the lines above name, run `npm install`, commit, and push again.",
    ),
    _cause(
        r"npm (error|ERR!) Missing script",
        "failed: package.json has no such script",
        "Add it to package.json's scripts, commit, and push again.",
    ),
    _cause(
        r"No space left on device|\bENOSPC\b|[Dd]isk quota exceeded",
        "failed: the server's disk is full",
        "Nothing is wrong with the app: make room on the server, then push the same commit again.",
    ),
    _cause(
        r"dns error|failed to lookup address|error sending request|tunneling socket|[Cc]onnection refused"
        r"|[Tt]emporary failure (in name resolution|resolving)|Could not resolve host"
        r"|Some index files failed to download"
        r"|[Nn]etwork is unreachable|[Rr]equest timed out|operation timed out|invalid peer certificate"
        r"|\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER)",
        "failed: the package registry could not be reached",
        "Nothing is wrong with the app: look at the server's network, then push the same commit again.",
        PackagesOutOfReach,
    ),
)


def too_long(timeout: float, step: str = "build", lines: Sequence[str] = ()) -> BuildFailed:
    """The time of a whole build is over; `step` took the last of it, and had said this."""
    what = "The build took longer than" if step == "build" else f"{step} was still running after"
    hint = "The limit is build_timeout in the server's settings."
    return BuildFailed(f"{what} {timeout:g} seconds", step=step, tail=tuple(lines[-_TAIL:]), hint=hint)


def blame(step: str, code: int, lines: Sequence[str]) -> BuildFailed:
    """A failed step as the user should read it: the cause when its output tells, else the exit code."""
    for cause in _CAUSES:
        for number, line in enumerate(lines):
            if cause.sign.search(line):
                told = tuple(lines[max(0, number - _BEFORE) :][:_TAIL])
                return cause.error(f"{step} {cause.message}", step=step, tail=told, hint=cause.hint)
    hint = None
    if code == _KILLED:
        hint = "It was killed, most likely for the memory it took: the limit is build_memory in the server's settings."
    return BuildFailed(f"{step} exited with {code}", step=step, tail=tuple(lines[-_TAIL:]), hint=hint)
