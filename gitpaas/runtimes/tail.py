"""The end of a file that somebody may be writing meanwhile."""

from __future__ import annotations

from pathlib import Path

_LAST_BYTES = 16_384


def last_lines(path: Path | None, count: int) -> tuple[str, ...]:
    """At most `count` lines; none when there is no file."""
    if path is None or not path.exists():
        return ()
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LAST_BYTES))
        lines = file.read(_LAST_BYTES).decode("utf-8", "replace").replace("\0", "").splitlines()
    return tuple(lines[-count:])
