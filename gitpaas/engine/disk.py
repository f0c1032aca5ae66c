"""Where the engine keeps images and containers."""

from __future__ import annotations

from pathlib import Path

from gitpaas.engine.ask import ask
from gitpaas.engine.client import Engine
from gitpaas.errors import EngineFailed


def directory(engine: Engine) -> Path | None:
    """The engine's own directory; None when that is on another machine, or the engine does not answer.

    Asked without the library: every build asks, and not every build needs that."""
    if not engine.address.startswith("unix:"):
        return None
    try:
        path = Path(ask(engine, "/info").get("DockerRootDir") or "/nonexistent")
    except EngineFailed:
        return None
    return path if path.is_dir() else None  # an engine in a virtual machine has a directory of there
