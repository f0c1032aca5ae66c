"""From bytes to lines: whole ones now, a half one when its end has come or nobody waits for it any more."""

from __future__ import annotations

from gitpaas.logs.lines import LONGEST


def cut(data: bytes, *, take_rest: bool) -> tuple[list[bytes], int]:
    """The lines in `data`, without their newlines, and how many bytes they used up.

    A line longer than LONGEST is cut into several, never inside a UTF-8 character. `take_rest`: a last line
    without its newline is a line too."""
    lines: list[bytes] = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start, start + LONGEST + 1)
        if end >= 0:
            lines.append(data[start:end])
            start = end + 1
        elif len(data) - start > LONGEST:
            end = _character_boundary(data, start + LONGEST)
            lines.append(data[start:end])
            start = end
        else:
            break
    if take_rest and start < len(data):
        lines.append(data[start:])
        start = len(data)
    return lines, start


def _character_boundary(data: bytes, end: int) -> int:
    """The last place at or before `end` that does not follow a continuation byte; `end` itself in a run of rubbish."""
    for back in range(4):
        if data[end - back] & 0xC0 != 0x80:
            return end - back
    return end
