"""cron: the entries of an app's app.json, when each runs next, how it went last, and one run by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gitpaas import daemon, locks
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.errors import Conflict, UsageError
from gitpaas.output import seconds

if TYPE_CHECKING:
    from gitpaas.cron import State
    from gitpaas.store import App, OneOff, Schedule

_BETWEEN = 0.2  # seconds between two looks at a run that is waited for


@command("cron", role="read")
@app_argument
@format_option
def listing(call: Call, app: str, style: str) -> None:
    """List the cron entries: schedule and time zone, the next run, how the last one ended, what was missed."""
    from gitpaas import cron

    found = call.app(app)
    states = cron.states(found)
    if style == "json":
        return call.say_json([_describe(call, found, state) for state in states])
    if not states:
        return call.say(f"{found.name} has no cron entries. They are in app.json, under cron, and come with a push.")
    columns = (
        Column("NAME"), Column("SCHEDULE"), Column("TIME ZONE"), Column("NEXT RUN"), Column("LAST RUN"),
    )  # fmt: skip
    call.say(render(columns, [_row(found, state) for state in states], call.console.width))
    for line in _remarks(call, found, states):
        call.say(line)
    return None


@command("cron:run", role="deploy", changes=True)
@app_argument
@click.argument("entry", metavar="NAME")
@click.option("--wait", is_flag=True, help="Until it has ended; its exit code is the command's.")
def run(call: Call, app: str, entry: str, wait: bool) -> int:
    """Run a cron entry now, whatever its time, suspended or not."""
    from gitpaas import cron, oneoffs

    found = call.app(app)
    call.note(entry)
    if wait and not locks.is_held(daemon.lock_path(call.config)):
        raise Conflict("No server runs, and nobody else sees a run end.", "Start it: gitpaas start")
    one_off = cron.run(call.platform, found, cron.find(found, entry), call.actor)
    label = oneoffs.label(one_off)
    call.note(f"{entry} as {label}")
    call.say(f"{entry} runs as {label}. What it prints: {call.program} logs {found.name} -p {label}")
    return _await_end(call, one_off) if wait else 0


@command("cron:suspend", role="deploy", changes=True)
@app_argument
@click.argument("entry", metavar="NAME", required=False)
@click.option("--all", "everything", is_flag=True, help="All entries of the app.")
def suspend(call: Call, app: str, entry: str | None, everything: bool) -> None:
    """Let a cron entry run no more until cron:resume. Deploys leave that so; a run under way goes on."""
    from gitpaas.apps import schedules

    found = call.app(app)
    names = _chosen(call, found, entry, everything)
    changed = schedules.suspend(found, names)
    call.say(f"Suspended: {', '.join(changed)}." if changed else f"Suspended already: {', '.join(names)}.")


@command("cron:resume", role="deploy", changes=True)
@app_argument
@click.argument("entry", metavar="NAME", required=False)
@click.option("--all", "everything", is_flag=True, help="All entries of the app.")
def resume(call: Call, app: str, entry: str | None, everything: bool) -> None:
    """Let a suspended cron entry run again, from its next time on."""
    from gitpaas import cron
    from gitpaas.apps import schedules

    found = call.app(app)
    names = _chosen(call, found, entry, everything)
    changed = schedules.resume(found, names)
    call.say(f"Resumed: {', '.join(changed)}." if changed else f"Not suspended here: {', '.join(names)}.")
    if still := [one.name for one in cron.entries(found) if one.suspended and one.name in names]:
        call.say(f"app.json itself suspends {', '.join(still)} (maintenance: true); a push can change that.")


def _chosen(call: Call, app: App, entry: str | None, everything: bool) -> list[str]:
    from gitpaas import cron

    if (entry is None) is not everything:
        raise UsageError("Which entry? NAME, or --all, not both.", f"List them: {call.program} cron {app.name}")
    call.note(entry or "--all")
    names = [cron.find(app, entry).name] if entry else [one.name for one in cron.entries(app)]
    if not names:
        raise UsageError(f"{app.name} has no cron entries.", "They are in app.json, under cron, and come with a push.")
    return names


def _await_end(call: Call, one_off: OneOff) -> int:
    """Its exit code; 1 when nobody knows it. A caller who leaves does not end it."""
    from gitpaas import oneoffs

    while not oneoffs.is_over(one_off) and not call.console.gone():
        time.sleep(_BETWEEN)
        one_off = type(one_off).get_by_id(one_off.id)
    if oneoffs.is_over(one_off):
        call.say(f"{oneoffs.outcome(one_off)} after {_took(one_off)}")
    return 1 if one_off.exit_code is None else int(one_off.exit_code)


def _row(app: App, state: State) -> list[str]:
    entry = state.entry
    return [entry.name, entry.schedule, entry.timezone, _next(app, state), _last(state.last)]


def _next(app: App, state: State) -> str:
    """In the entry's own time zone, which stands beside it."""
    from gitpaas import crontab

    if state.suspended_by:
        return "suspended"
    if app.stopped:
        return "the app is stopped"
    moment = state.next_at
    return "never" if moment is None else crontab.clock_time(moment, state.entry.timezone)


def _last(one_off: OneOff | None) -> str:
    if one_off is None:
        return "-"
    if one_off.finished_at is None:
        return f"runs, since {ago(one_off.created_at).removesuffix(' ago')}"
    how = "ended" if one_off.error else f"exit {one_off.exit_code}"
    return f"{how}, {ago(one_off.finished_at)}"


def _took(one_off: OneOff) -> str:
    return seconds((one_off.finished_at or time.time()) - one_off.created_at)


def _remarks(call: Call, app: App, states: Sequence[State]) -> list[str]:
    from gitpaas import oneoffs

    last = sorted((state.last for state in states if state.last), key=lambda one: one.id)
    lines = [state.missed for state in states if state.missed]
    if by_tree := [state.entry.name for state in states if state.suspended_by == "app.json"]:
        lines.append(f"Suspended by app.json: {', '.join(by_tree)}")
    failed = (one for one in last if one.error or one.exit_code)
    lines += [f"{one.schedule}: {oneoffs.outcome(one)} after {_took(one)}" for one in failed]
    if last:
        lines.append(f"What a run printed: {call.program} logs {app.name} -p {oneoffs.label(last[-1])}")
    return lines


def _describe(call: Call, app: App, state: State) -> dict[str, Any]:
    from gitpaas import crontab, oneoffs

    entry = state.entry
    command = entry.command if call.may("deploy", app.name) else oneoffs.program(entry.command)
    return {
        "name": entry.name,
        "command": command,
        "schedule": entry.schedule,
        "in_words": crontab.in_words(entry.schedule),
        "timezone": entry.timezone,
        "concurrency_policy": entry.policy,
        "suspended_by": state.suspended_by,
        "next_at": iso(state.next_at),
        "last": _describe_run(state.last),
        "missed": _describe_missed(state.row),
    }


def _describe_run(one_off: OneOff | None) -> dict[str, Any] | None:
    from gitpaas import oneoffs

    if one_off is None:
        return None
    return {
        "run": oneoffs.label(one_off),
        "by": one_off.by,
        "release": one_off.release,
        "started_at": iso(one_off.created_at),
        "finished_at": iso(one_off.finished_at),
        "exit_code": one_off.exit_code,
        "error": one_off.error or None,
    }


def _describe_missed(row: Schedule | None) -> dict[str, Any] | None:
    if row is None or not row.missed:
        return None
    span = {"from": iso(row.missed_from), "to": iso(row.missed_to)}
    return {"runs": row.missed, **span, "because": row.missed_because}


COMMANDS = (listing, run, suspend, resume)
