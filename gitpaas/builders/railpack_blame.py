"""Whose fault it is that Railpack has no plan: the app's, or the platform's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gitpaas.builders import railpack_look
from gitpaas.builders.railpack_analysis import Analysis
from gitpaas.errors import BuildFailed, ToolFailed, ToolOutOfReach

_TAIL = 15
_NETWORK = re.compile(
    r"error sending request|IO error occurred|dns error|failed to lookup|cannot be fetched|timed out|timeout"
    r"|[Cc]onnection (refused|reset)|HTTP status server error|HTTP status client error \((403|408|429)|rate limit"
    r"|invalid peer certificate|tunnel|exit status 75"
)
_NETWORK_HINT = "Nothing is wrong with the app: look at the server's network, then push the same commit again."
_LIMITED = re.compile(r"\((403|429)|rate limit")
_LIMITED_HINT = (
    "Nothing is wrong with the app: GitHub answers an address without a token only so often. Try again later, or give "
    "builds a GITHUB_TOKEN, as a config var or by the server's setting build_env."
)
_OURS = re.compile(r"failed to (ensure mise|create mutex|acquire lock)|signal: |No space left on device")
_MISE = re.compile(r"failed to run mise command '\S+ (?:latest|ls-remote) (\S+)': ")
_UNKNOWN_VERSION = re.compile(r"failed to resolve version (.+) of (\S+)|no version available for (\S+) (\S+)")
_UNKNOWN_PACKAGE = re.compile(r"package `(\S+)` not available")
_NO_START = "No start command detected"


class Hiccup(ToolOutOfReach):
    """It may work when it is tried again."""


def check(analysis: Analysis, tree: Path) -> None:
    """Raise what the pusher or the operator should read when there is no plan."""
    if analysis.plan is not None:
        return
    error = analysis.error
    if error is None:
        raise ToolFailed("Railpack has no plan, and does not say why")
    if "could not determine how to build" in error:
        raise railpack_look.nothing_found(tree)
    if error.startswith(_NO_START):
        raise no_start(tree, error)
    raise _of_mise(error) or _refused(error)


def no_start(tree: Path, error: str) -> BuildFailed:
    name = railpack_look.look(tree) or "The app"
    return BuildFailed(
        f"{name}: nothing says how to start it",
        step="detect",
        tail=_lines(error)[1:],
        hint="Add a Procfile with a line such as `web: ./server`; it must listen on 0.0.0.0:$PORT. "
        "railpack.json's deploy.startCommand and the config var RAILPACK_START_CMD say it too.",
    )


def _of_mise(error: str) -> ToolFailed | BuildFailed | None:
    """Versions are looked up with mise, by way of the network."""
    if _OURS.search(error):
        return ToolFailed(f"Railpack does not work: {_lines(error)[0]}")
    asked = _MISE.match(error)
    if asked and _NETWORK.search(error):
        reason = _reason(_lines(error)[1:])
        return Hiccup(
            f"The versions of {asked[1].partition('@')[0]} could not be looked up: {reason}",
            _LIMITED_HINT if _LIMITED.search(reason) else _NETWORK_HINT,
        )
    if package := _UNKNOWN_PACKAGE.search(error):
        return _failed(f"There is no package {package[1]}", error)
    if version := _UNKNOWN_VERSION.search(error):
        wanted, name = (version[1], version[2]) if version[1] else (version[4], version[3])
        return _failed(f"There is no version {wanted} of {name}", error)
    return _failed(f"{asked[1].replace('@', ' ')} cannot be had", error) if asked else None


def _reason(lines: Sequence[str]) -> str:
    """The line that names the address, else the first that tells of the network."""
    signs = [line for line in lines if _NETWORK.search(line)]
    chosen = next((line for line in signs if "://" in line), next(iter(signs), "no answer"))
    return re.sub(r"^mise (ERROR|WARN)\s+", "", chosen)


def _failed(message: str, error: str) -> BuildFailed:
    return BuildFailed(
        message,
        step="versions",
        tail=_lines(error)[1:],
        hint="Ask for another one where the app names it: a version file, its manifest, mise.toml, railpack.json or a "
        "RAILPACK_ config var.",
    )


def _refused(error: str) -> BuildFailed:
    """What is left: files and settings of the app that Railpack cannot read."""
    first, *rest = _lines(error)
    hint = "railpack.json must be JSON as https://schema.railpack.com has it." if "hujson" in error else None
    return BuildFailed(f"Railpack: {first}", step="detect", tail=tuple(rest), hint=hint)


def _lines(text: str) -> tuple[str, ...]:
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and "Run with --verbose" not in line]
    return tuple(lines[: _TAIL + 1]) or (text,)
