"""How commands show things: tables that fit the terminal, times as ages, and ISO-8601 for machines."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gitpaas.output import plain

UNSEEN = "Docker Engine does not answer: what runs in containers cannot be seen now."

_GAP = "  "
_LEAST = 8  # no column gets narrower than this
_UNITS = ((86400 * 365, "y"), (86400 * 30, "mo"), (86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True)
class Column:
    """A heading; only `text` columns are cut when the terminal is narrow: names and URLs stay whole."""

    heading: str
    text: bool = False


def render(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> str:
    """Lines joined by newlines, the headings first. As wide as needed, at most `width` where columns can be cut."""
    cells = [[column.heading for column in columns], *([plain(cell) for cell in row] for row in rows)]
    widths = _fit(columns, cells, width)
    return "\n".join(_line(row, widths) for row in cells)


def ago(moment: float | None, now: float | None = None) -> str:
    """ "3m ago" of seconds since the epoch; "-" of None."""
    if moment is None:
        return "-"
    passed = (time.time() if now is None else now) - moment
    return f"{age(passed)} ago" if passed >= 1 else "just now"


def age(passed: float) -> str:
    """ "3m" of seconds, in the largest unit that there is one of."""
    return next((f"{int(passed // size)}{unit}" for size, unit in _UNITS if passed >= size), "0s")


def iso(moment: float | None) -> str | None:
    """ISO-8601 in UTC with milliseconds; None of None."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cut(text: str, width: int) -> str:
    """At most `width` cells wide; what was cut off is an ellipsis."""
    if _cells(text) <= width:
        return text
    kept = ""
    for character in text:
        if _cells(kept + character) > width - 1:
            break
        kept += character
    return kept.rstrip() + "…"


def _fit(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    widths = [max(_cells(row[index]) for row in cells) for index in range(len(columns))]
    while (excess := sum(widths) + len(_GAP) * (len(columns) - 1) - width) > 0:
        candidates = [index for index, column in enumerate(columns) if column.text and widths[index] > _LEAST]
        if not candidates:
            break
        widest, next_widest = _two_widest(widths, candidates)
        widths[widest] -= min(excess, max(1, widths[widest] - next_widest), widths[widest] - _LEAST)
    return widths


def _two_widest(widths: Sequence[int], candidates: Sequence[int]) -> tuple[int, int]:
    """The index of the widest column, and the width of the one after it."""
    ordered = sorted(candidates, key=lambda index: widths[index], reverse=True)
    return ordered[0], widths[ordered[1]] if len(ordered) > 1 else _LEAST


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (_padded(cut(cell, width), width) for cell, width in zip(row, widths, strict=True))
    return _GAP.join(cells).rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _cells(text))


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(_character_cells(character) for character in text)


def _character_cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
