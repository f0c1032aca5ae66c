"""Whether the program on the disk is still the one that the server began with. What a server loads late does not fit
what it has loaded before, so after an upgrade it wants to be restarted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from gitpaas.config import Config

HINT = "The program was changed since the server began. On the server: gitpaas restart"


def stamp() -> str:
    """Another one whenever a file of the program was changed, added or removed."""
    files = sorted((str(path), path.stat().st_mtime_ns) for path in Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def has_come(config: Config) -> bool:
    """Since the server of this state directory began. Not so when none runs; one that does not say what it began with
    is from a time before servers did."""
    try:
        record = json.loads(config.server_record.read_text())
    except (OSError, ValueError):
        return False
    return bool(record.get("program") != stamp())
