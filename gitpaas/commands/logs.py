"""logs: what an app prints, and what the platform says about it."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from gitpaas.commands.base import app_argument, command, format_option
from gitpaas.commands.call import Call
from gitpaas.logs import follow, parse, tail
from gitpaas.names import process_name


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
        process_name(process.partition(".")[0])
    for line in _lines(call, name, tail, lines, process):
        call.say(json.dumps(parse(line)._asdict(), ensure_ascii=False) if style == "json" else line)


def _lines(call: Call, app: str, live: bool, lines: int, process: str | None) -> Iterable[str]:
    if live:
        return follow(call.config, app, process, call.console.gone, lines)
    return tail(call.config, app, lines, process)


COMMANDS = (logs,)
