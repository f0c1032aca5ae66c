"""How far each raw file of an app was collected, remembered so that a killed server neither loses nor repeats a line.

Each entry into app.log is two steps: (1) the new offsets, the old ones, and where app.log ends just now, in one
renamed file; (2) the lines, appended. Killed between or within them, the next start sees how long app.log is: if the
lines are not all there it cuts off the part that is and goes back to the old offsets. Only a crash of the machine
itself may lose or repeat the last moment, since nothing here waits for the disk.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gitpaas.logs import app_log


@dataclass
class Entry:
    """One raw file: how far it was read, how far its disk was given back, and whose it is."""

    inode: int
    offset: int = 0
    freed: int = 0
    source: str = "unknown"
    release: int | None = None


@dataclass
class Ledger:
    """The entries of one app by file name. `folder` is the app's log directory."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    def commit(self, before: dict[str, Entry], data: bytes) -> None:
        """Make today's entries durable and append `data` to app.log; after a kill either both or neither are."""
        app_log.append(self.folder, b"")  # so that there is an inode to remember
        inode, size = app_log.position(self.folder)
        pending = {"inode": inode, "size": size, "length": len(data), "entries": _plain(before)}
        _write(self.folder / "collected.json", {"entries": _plain(self.entries), "pending": pending})
        app_log.append(self.folder, data)

    def copy(self) -> dict[str, Entry]:
        return {name: replace(entry) for name, entry in self.entries.items()}


def load(folder: Path) -> Ledger:
    """What was remembered, after undoing an entry that a kill cut short."""
    try:
        record = json.loads((folder / "collected.json").read_bytes())
        entries, pending = _entries(record["entries"]), record["pending"]
        if _is_cut_short(folder, pending):
            entries = _entries(pending["entries"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        entries = {}
    return Ledger(folder, entries)


def _is_cut_short(folder: Path, pending: dict[str, Any]) -> bool:
    inode, size = app_log.position(folder)
    # Another file: it was rotated since, which happens after an entry only.
    if inode != pending["inode"] or size >= pending["size"] + pending["length"]:
        return False
    app_log.cut_back(folder, pending["size"])
    return True


def _plain(entries: dict[str, Entry]) -> dict[str, Any]:
    return {name: asdict(entry) for name, entry in entries.items()}


def _entries(record: dict[str, Any]) -> dict[str, Entry]:
    return {name: Entry(**fields) for name, fields in record.items()}


def _write(path: Path, record: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    with open(fresh, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(record, file)
    fresh.rename(path)
