"""Why Caddy did not start, out of the logs that it leaves in three places."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gitpaas import shell
from gitpaas.config import Config
from gitpaas.errors import CommandFailed
from gitpaas.router.command import command, environment

_TAIL = 16 * 1024


def reason(config: Config, binary: Path, outputs: Iterable[Path], since: float) -> str:
    """The last error logged after `since`; `caddy run` keeps quiet about a bad Caddyfile, `caddy validate` does not."""
    lines = [*_validate(config, binary), *(line for path in outputs for line in _tail(path))]
    errors = [entry["msg"] for entry in map(_entry, lines) if entry["level"] == "error" and entry["ts"] >= since]
    return str(errors[-1]) if errors else "it gave no reason"


def _validate(config: Config, binary: Path) -> tuple[str, ...]:
    try:
        argv = command(binary, "validate")
        return shell.run(argv, env=environment(config), cwd=config.home, timeout=10).tail
    except CommandFailed as error:
        return (json.dumps({"level": "error", "ts": float("inf"), "msg": error.message}),)


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _entry(line: str) -> dict[str, Any]:
    """One line of Caddy's log; what it is not is no entry."""
    nothing = {"level": "", "ts": 0.0, "msg": ""}
    try:
        entry = json.loads(line)
    except ValueError:
        return nothing
    return nothing | entry if isinstance(entry, dict) else nothing
