"""logs: what an app prints, and what the platform says about it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import click

from gitpaas import releases
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option, release_number, require_open_end, time_options
from gitpaas.errors import NotFound
from gitpaas.logs import Selection, follow, parse
from gitpaas.logs import tail as read_log
from gitpaas.names import process_name

_OTHERS = ("release", "run", "cron", "gitpaas")  # what writes into the log besides the app's own process types


@command("logs", role="read")
@app_argument
@click.option("-t", "--tail", is_flag=True, help="Keep showing what comes, until you leave.")
@click.option(
    "-n",
    "--lines",
    metavar="COUNT",
    type=click.IntRange(0),
    help="How many of the last lines; unless told 100, or all of the time that is asked for.",
)
@click.option(
    "-p",
    "--process",
    metavar="PROCESS",
    help="Of one process type (web), one instance (web.1) or the platform (gitpaas).",
)
@time_options
@click.option(
    "--grep",
    metavar="EXPRESSION",
    help="With this in the text: as grep -E has it; written small it finds capitals too.",
)
@click.option("--release", metavar="RELEASE", help="Of instances of one release: v11.")
@format_option
def logs(call: Call, app: str, tail: bool, lines: int | None, style: str, **wanted: Any) -> None:
    """Show an app's output, a line each: time, instance, release, text."""
    require_open_end(tail, wanted["until"])
    name = call.app(app).name
    selection = _selection(call, name, **wanted)
    if lines is None and wanted["since"] is None and wanted["until"] is None:
        lines = 100
    line = None
    for line in _lines(call, name, tail, lines, selection):
        call.say(json.dumps(parse(line)._asdict(), ensure_ascii=False) if style == "json" else line)
    if line is None and lines != 0 and style == "text":
        call.console.err(_nothing(name, selection))


def _selection(
    call: Call,
    name: str,
    *,
    process: str | None,
    since: float | None,
    until: float | None,
    grep: str | None,
    release: str | None,
) -> Selection:
    if process is not None:
        _require_known(call, name, process)
    number = release_number(release)
    if number is not None:
        releases.find(call.app(name), number)
    selection = Selection(process, number, since or 0.0, math.inf if until is None else until, grep)
    selection.check()
    return selection


def _require_known(call: Call, name: str, process: str) -> None:
    """A name that was mistyped is told, unless the log has lines of it, from a time when there was such a process."""
    kind = process_name(process.partition(".")[0])
    release = releases.live(call.app(name))
    known = {*releases.artifact(release).processes, *_OTHERS} if release else {kind}
    if kind not in known and not any(read_log(call.config, name, 1, Selection(process))):
        raise NotFound(f"{name} has no process type {kind!r}.", f"There are: {', '.join(sorted(known))}.")


def _lines(call: Call, app: str, live: bool, lines: int | None, wanted: Selection) -> Iterable[str]:
    if live:
        return follow(call.config, app, call.console.gone, lines, wanted)
    return read_log(call.config, app, lines, wanted)


def _nothing(app: str, wanted: Selection) -> str:
    if wanted != Selection(wanted.process):
        return f"Nothing that is kept of {app} is of that kind.\n"
    return f"{f'{wanted.process} of {app}' if wanted.process else app} has printed nothing that is kept.\n"


COMMANDS = (logs,)
