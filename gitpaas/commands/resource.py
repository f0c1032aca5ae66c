"""resource: what the instances of an app may take of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from gitpaas import linux
from gitpaas.apps import resources
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option
from gitpaas.commands.table import Column, render
from gitpaas.errors import UsageError
from gitpaas.store import App

_OTHERS = "all others"
_process = click.option("-p", "--process", metavar="PROCESS", help="Of this process type; else of all others.")
_restart = click.option("--no-restart", is_flag=True, help="From their next start on; what runs stays as it is.")


@command("resource", role="read")
@app_argument
@format_option
def listing(call: Call, app: str, style: str) -> None:
    """List what each instance may take: memory, CPUs, processes; by process type."""
    _list(call, call.app(app), style)


@command("resource:limit", role="deploy", changes=True)
@app_argument
@click.option("--memory", metavar="SIZE", help="Such as 512m or 2g; the one who takes more is ended.")
@click.option("--cpu", metavar="CPUS", help="CPUs, such as 0.5 or 2.")
@click.option("--processes", metavar="COUNT", help="Processes and threads.")
@_process
@_restart
def limit(call: Call, app: str, process: str | None, no_restart: bool, **given: str | None) -> None:
    """Say what each instance may take. What runs is replaced at once, without downtime. An empty value unsets.

    The release phase, `run` and cron take what is said of all others, or of -p release, run, cron.
    """
    texts = {key: text for key in resources.KEYS if (text := given[key]) is not None}
    call.only_looks = not texts
    found = call.app(app)
    if not texts:
        return _list(call, found, "text")
    _require_able(call, texts)
    return _change(call, found, process, texts, no_restart)


@command("resource:unset", role="deploy", changes=True)
@app_argument
@click.argument("keys", metavar="memory|cpu|processes...", nargs=-1)
@_process
@_restart
def unset(call: Call, app: str, keys: Sequence[str], process: str | None, no_restart: bool) -> None:
    """Take back what was said: all of it, or some; then the settings of the server hold again."""
    if unknown := [key for key in keys if key not in resources.KEYS]:
        raise UsageError(f"{unknown[0][:80]!r} is not limited.", f"There are: {', '.join(resources.KEYS)}.")
    _change(call, call.app(app), process, dict.fromkeys(keys or resources.KEYS, ""), no_restart)


def _change(call: Call, app: App, process: str | None, texts: Mapping[str, str], no_restart: bool) -> None:
    from gitpaas.instances import limiting

    words = " ".join(f"{key}={text[:80]}" for key, text in texts.items())
    call.note(f"{process[:80]}: {words}" if process else words)
    limiting.limit(call.platform, app, process or resources.OTHERS, texts, call.progress(), restart=not no_restart)


def _list(call: Call, app: App, style: str) -> None:
    from gitpaas import releases

    said = resources.chosen(app)
    named = [*sorted(releases.formation(app)), *(name for name in resources.ONE_OFFS if name in said)]
    bounds = {name: resources.limits(call.config, app, name) for name in (*named, resources.OTHERS)}
    if style == "json":
        return call.say_json([_describe(app, name, asdict(own)) for name, own in bounds.items()])
    rows = [[name or _OTHERS, *resources.written(own).values(), _said(app, name)] for name, own in bounds.items()]
    columns = (Column("PROCESS"), Column("MEMORY"), Column("CPUS"), Column("PROCESSES"), Column("SAID", text=True))
    return call.say(render(columns, rows, call.console.width))


def _said(app: App, process: str) -> str:
    """Which of these somebody has said, and of whom."""
    said = resources.chosen(app)
    own, others = said.get(process, {}), said.get(resources.OTHERS, {}) if process else {}
    words = [resources.KEY_OF[field] for field in own]
    words += [f"{resources.KEY_OF[field]} (of {_OTHERS})" for field in others if field not in own]
    return ", ".join(words) or "-"


def _describe(app: App, process: str, bounds: Mapping[str, Any]) -> dict[str, Any]:
    said = resources.chosen(app)
    return {
        "process": process or None,
        **{key: bounds[resources.FIELDS[key]] for key in resources.KEYS},
        "said": sorted(resources.KEY_OF[field] for field in said.get(process, {})),
    }


def _require_able(call: Call, texts: Mapping[str, str]) -> None:
    """Plain processes are limited as far as this machine can do that."""
    if "image" in call.platform.artifacts:
        return
    if texts.get("cpu") and not linux.can_limit_cpus():
        raise UsageError("This machine cannot share out its CPUs.", "gitpaas doctor says what is missing.")
    if texts.get("processes") and linux.cgroup_version() is None and not linux.can_confine():
        raise UsageError("This machine cannot limit the processes of an app.", "gitpaas doctor says what is missing.")


COMMANDS = (listing, limit, unset)
