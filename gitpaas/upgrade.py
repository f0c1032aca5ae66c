"""Whether the program on the disk is still the one that the server began with. What a server loads late does not fit
what it has loaded before, so after an upgrade it wants to be restarted."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from gitpaas.config import Config
from gitpaas.tree import everything

HINT = "The program was changed since the server began. On the server: gitpaas restart"


def stamp() -> str:
    """Another one whenever a file of the program was changed, added or removed."""
    files = sorted(
        (entry.path, _changed(entry)) for entry in everything(Path(__file__).parent) if entry.name.endswith(".py")
    )
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def _changed(file: os.DirEntry[str]) -> int:
    """0 when it has gone since it was listed: somebody is at it just now."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def has_come(config: Config) -> bool:
    """Since the server of this state directory began. Not so when none runs; one that does not say what it began with
    is from a time before servers did."""
    try:
        record = json.loads(config.server_record.read_text())
    except (OSError, ValueError):
        return False
    return bool(record.get("program") != stamp())
