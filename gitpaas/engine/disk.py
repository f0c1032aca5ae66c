"""What the engine takes on the disk, and where. Asked without the library: not every build needs that."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gitpaas.engine.ask import ask
from gitpaas.engine.client import Engine
from gitpaas.errors import EngineFailed

_PATIENCE = 60.0  # seconds: the engine walks through all volumes


def directory(engine: Engine) -> Path | None:
    """The engine's own directory; None when that is on another machine, or the engine does not answer."""
    if not engine.address.startswith("unix:"):
        return None
    try:
        told = ask(engine, "/info")
    except EngineFailed:
        return None
    path = Path(told.get("DockerRootDir") or "/nonexistent")
    return path if path.is_dir() else None  # an engine in a virtual machine has a directory of there


def volumes(engine: Engine) -> Counter[str]:
    """Bytes of the volumes of each app."""
    told = ask(engine, "/system/df", {"type": "volume", "verbose": 1}, patience=_PATIENCE)
    ours = engine.ours.items()
    found: Counter[str] = Counter()
    # Engines since 29 tell it in other words.
    for volume in told.get("Volumes") or told.get("VolumeUsage", {}).get("Items") or ():
        labels = volume.get("Labels") or {}
        if ours <= labels.items():
            found[labels.get("gitpaas.app", "")] += max(0, (volume.get("UsageData") or {}).get("Size", 0))
    return found
