"""logs: what an app prints, and what the platform says about it."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from gitpaas import releases
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option
from gitpaas.errors import NotFound
from gitpaas.logs import follow, parse
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
    default=100,
    help="How many of the last lines; 100 unless told.",
)
@click.option(
    "-p",
    "--process",
    metavar="PROCESS",
    help="Of one process type (web), one instance (web.1) or the platform (gitpaas).",
)
@format_option
def logs(call: Call, app: str, tail: bool, lines: int, process: str | None, style: str) -> None:
    """Show an app's output, a line each: time, instance, release, text."""
    name = call.app(app).name
    if process is not None:
        _require_known(call, name, process)
    line = None
    for line in _lines(call, name, tail, lines, process):
        call.say(json.dumps(parse(line)._asdict(), ensure_ascii=False) if style == "json" else line)
    if line is None and lines and style == "text":
        call.console.err(f"{f'{process} of {name}' if process else name} has printed nothing that is kept.\n")


def _require_known(call: Call, name: str, process: str) -> None:
    """A name that was mistyped is told, unless the log has lines of it, from a time when there was such a process."""
    kind = process_name(process.partition(".")[0])
    release = releases.live(call.app(name))
    known = {*releases.artifact(release).processes, *_OTHERS} if release else {kind}
    if kind not in known and not read_log(call.config, name, 1, process):
        raise NotFound(f"{name} has no process type {kind!r}.", f"There are: {', '.join(sorted(known))}.")


def _lines(call: Call, app: str, live: bool, lines: int, process: str | None) -> Iterable[str]:
    if live:
        return follow(call.config, app, process, call.console.gone, lines)
    return read_log(call.config, app, lines, process)


COMMANDS = (logs,)
