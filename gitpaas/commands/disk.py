"""disk: what takes the room, and giving back what nobody needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option, optional_app_argument
from gitpaas.commands.table import Column, render
from gitpaas.output import amount

if TYPE_CHECKING:
    from gitpaas.artifacts import Usage

_ORDER = ("images", "slugs", "build cache", "logs", "source", "volumes", "toolchain")
_SHARED = "(shared)"

Row = tuple[str | None, Mapping[str, int]]  # an app (None: what apps share) and its bytes by what they are


@command("disk", role="read", scope="seen")
@format_option
def listing(call: Call, style: str) -> None:
    """Show what takes the room on the disk, by app that you may see, and how much is free."""
    from gitpaas import disk
    from gitpaas.artifacts import room

    taken = disk.usage(call.platform)
    rows = _rows([use for use in taken.usages if _is_shown(call, use)])
    disks = room.disks(call.config, images="image" in call.platform.artifacts)
    if style == "json":
        return call.say_json(
            {
                "apps": [{"app": app, "total": sum(parts.values()), **parts} for app, parts in rows if app],
                "shared": dict(next((parts for app, parts in rows if app is None), {})),
                "disks": [{"path": str(one.path), "free": one.free, "size": one.size} for one in disks],
                "unknown": taken.unknown,
            }
        )
    call.say(_table(rows, call.console.width))
    for one in disks:
        call.say(f"{amount(one.free)} of {amount(one.size)} are free on the disk of {one.path}")
    for sentence in taken.unknown:
        call.say(f" !     {sentence}")
    return None


@command("disk:prune", role="admin", changes=True)
@optional_app_argument
@format_option
def prune(call: Call, app: str | None, style: str) -> None:
    """Free what nobody needs: old releases, downloads of builds and, without APP, the shared build cache."""
    from gitpaas import disk

    freed = disk.prune(call.platform, call.app(app) if app else None)
    given = {what: count for what, count in freed.bytes.items() if count > 0}
    total = sum(given.values())
    call.note(f"{amount(total)} freed")
    if style == "json":
        return call.say_json({"freed": given, "total": total, "waits": freed.waits})
    for what, count in sorted(given.items(), key=lambda item: -item[1]):
        call.say(f"{amount(count):>9}  {what}")
    call.say(f"{amount(total)} freed." if given else "There was nothing to free.")
    for sentence in freed.waits:
        call.say(f" !     {sentence}")
    return None


def _is_shown(call: Call, use: Usage) -> bool:
    return call.may("read", use.app) if use.app else call.may("read")


def _rows(usages: Sequence[Usage]) -> list[Row]:
    """The largest app first, what they share last."""
    found: dict[str | None, Counter[str]] = {}
    for use in usages:
        found.setdefault(use.app, Counter())[use.what] += use.bytes
    return sorted(found.items(), key=lambda row: (row[0] is None, -sum(row[1].values()), row[0] or ""))


def _table(rows: Sequence[Row], width: int) -> str:
    there: set[str] = {what for _, parts in rows for what in parts}
    columns = [what for what in _ORDER if what in there]
    headings = [Column("APP"), Column("TOTAL"), *(Column(what.upper()) for what in columns)]
    lines = [_line(app or _SHARED, parts, columns) for app, parts in rows]
    if len(rows) > 1:
        lines.append(_line("(all)", sum((Counter(parts) for _, parts in rows), Counter()), columns))
    return render(headings, lines, width)


def _line(name: str, parts: Mapping[str, int], columns: Sequence[str]) -> list[str]:
    cells = (amount(parts[what]) if parts.get(what) else "-" for what in columns)
    return [name, amount(sum(parts.values())), *cells]


COMMANDS = (listing, prune)
