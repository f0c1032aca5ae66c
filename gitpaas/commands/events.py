"""events: who did what, when, from where, and how it ended."""

from __future__ import annotations

import json
import math
import textwrap
import time
from collections.abc import Iterable
from typing import Any

import click

from gitpaas import events as kept
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option, optional_app_argument, require_open_end, time_options
from gitpaas.commands.table import iso
from gitpaas.names import app_name
from gitpaas.output import plain
from gitpaas.store import Event

_PAUSE = 0.3  # seconds between two looks while following


@command("events", role="read", scope="seen")
@optional_app_argument
@click.option("-t", "--tail", is_flag=True, help="Keep showing what comes, until you leave.")
@click.option(
    "-n",
    "--limit",
    metavar="COUNT",
    type=click.IntRange(0),
    help="How many of the last; unless told 50, or all of the time that is asked for.",
)
@time_options
@format_option
def events(
    call: Call, app: str | None, tail: bool, limit: int | None, since: float | None, until: float | None, style: str
) -> None:
    """Show what happened, oldest first: time, who from where, what, how it ended. Admins see the machine's too."""
    require_open_end(tail, until)
    count = 50 if limit is None and since is None and until is None else limit
    with call.platform.store.session():
        wanted = kept.Wanted(_app(call, app), since or 0.0, math.inf if until is None else until, call.actor)
        newest = kept.last_number()
        found = kept.latest(count, wanted)
        if style == "json" and not tail:
            return _export(call, found)
        newest = _say(call, found, style, newest)
        while tail and not call.console.gone():
            time.sleep(_PAUSE)
            newest = _say(call, kept.after(newest, wanted), style, newest)
    return None


def _export(call: Call, found: Iterable[Event]) -> None:
    """A JSON array, written as it is read: there may be as many as are kept."""
    before = "[\n"
    for event in found:
        call.console.out(before + textwrap.indent(json.dumps(_describe(event), indent=2, ensure_ascii=False), "  "))
        before = ",\n"
    call.say("[]" if before == "[\n" else "\n]")


def _app(call: Call, name: str | None) -> str | None:
    """One that is gone has events still, for admins."""
    if name is not None and not (call.may("admin") and any(kept.latest(1, kept.Wanted(app_name(name))))):
        call.app(name)
    return name


def _say(call: Call, found: Iterable[Event], style: str, newest: int) -> int:
    """The number of the last one."""
    for event in found:
        call.say(json.dumps(_describe(event), ensure_ascii=False) if style == "json" else _line(event))
        newest = event.id
    return newest


def _line(event: Event) -> str:
    """2026-01-31T12:00:00.000Z alice@192.0.2.7 config:set hello ok: DATABASE_URL"""
    key = f"({event.key})" if event.key and event.key != event.by else ""
    words = [iso(event.at), f"{event.by}{key}@{event.address}", event.action, event.app, event.result]
    line = " ".join(word for word in words if word) + (f": {event.text}" if event.text else "")
    return plain(line)


def _describe(event: Event) -> dict[str, Any]:
    return {
        "at": iso(event.at),
        "by": event.by,
        "key": event.key,
        "address": event.address,
        "action": event.action,
        "app": event.app,
        "text": event.text,
        "result": event.result,
    }


COMMANDS = (events,)
