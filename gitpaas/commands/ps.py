"""ps: what runs of an app, and how many of each process type."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from gitpaas import holding
from gitpaas.commands import options, run
from gitpaas.commands.base import app_argument, command, format_option
from gitpaas.commands.call import Call
from gitpaas.commands.table import UNSEEN, Column, ago, iso, render
from gitpaas.errors import UsageError
from gitpaas.output import seconds
from gitpaas.plan import Missing, crash_loops
from gitpaas.store import App
from gitpaas.values import Instance, instance_name, process_name

_MOST = 100  # of one process type
_which = click.argument("name", metavar="PROCESS|PROCESS.N", required=False)


@command("ps", role="read")
@app_argument
@format_option
def listing(call: Call, app: str, style: str) -> None:
    """List the instances: state, release, address, age; those wanted that do not run; and one-off commands."""
    from gitpaas import releases

    found = call.app(app)
    formation = releases.formation(call.platform, found)
    seen = call.platform.runtime.survey(found.name)
    own = [instance for instance in seen.instances if instance.one_off is None]
    instances = sorted(own, key=lambda i: (i.process, i.number, i.release))
    if style == "json":
        return call.say_json(_describe(found, formation, instances) | {"one_offs": run.describe_all(call, found)})
    wanted = " ".join(f"{process}={quantity}" for process, quantity in formation.items())
    if seen.unseen:
        call.say(UNSEEN)
    call.say(f"{found.name}{' (stopped)' if found.stopped else ''}: {wanted or 'no release yet'}")
    rows = [_row(instance, found) for instance in instances] + _absent(found, formation, instances)
    if rows:
        columns = (Column("NAME"), Column("STATE", text=True), Column("RELEASE"), Column("ADDRESS"), Column("SINCE"))
        call.say(render(columns, rows, call.console.width))
    if beside := run.table(call, found):
        call.say(beside)
    if loops := crash_loops([one for one in instances if one.release == found.release], time.time()):
        call.say(f"{loops}. To see why: {call.program} logs {found.name}")
    return None


@command("ps:restart", role="deploy", changes=True)
@app_argument
@_which
def restart(call: Call, app: str, name: str | None) -> None:
    """Replace the instances by fresh ones, without downtime: all, one process type, or one (web.1)."""
    from gitpaas import deploy

    found = call.app(app)
    deploy.restart(call.platform, found, call.progress(), _noted(call, name))
    call.say(f"{found.name}: {name or 'all'} restarted.")


@command("ps:scale", role="deploy", changes=True)
@app_argument
@click.argument("quantities", metavar="PROCESS=COUNT...", nargs=-1, required=True)
def scale(call: Call, app: str, quantities: Sequence[str]) -> None:
    """Say how many instances of each process type run: web=2 worker=1."""
    from gitpaas import deploy

    if "=" in app:
        raise UsageError("Which app?", f"{call.program} ps:scale APP web=2")
    wanted = dict(map(_quantity, quantities))
    call.note(" ".join(quantities))
    deploy.scale(call.platform, call.app(app), wanted, call.actor, call.progress())


@command("ps:stop", role="deploy", changes=True)
@app_argument
@_which
def stop(call: Call, app: str, name: str | None) -> None:
    """Stop all instances, a process type or one (web.1), until ps:start; no deploy starts them.

    Without a web instance the app's page says so. Scaling changes how many there are to be, not that they are stopped.
    """
    from gitpaas import deploy

    deploy.stop(call.platform, call.app(app), call.progress(), _noted(call, name))


@command("ps:start", role="deploy", changes=True)
@app_argument
@_which
def start(call: Call, app: str, name: str | None) -> None:
    """Start what ps:stop has stopped: all of it, a process type, or one (web.1)."""
    from gitpaas import deploy

    found = call.app(app)
    deploy.start(call.platform, found, call.progress(), _noted(call, name))
    if found.release:
        call.say(f"{name} of {found.name} is running." if name else f"{found.name} is running.")


@command("ps:rebuild", role="deploy", changes=True)
@app_argument
def rebuild(call: Call, app: str) -> int:
    """Build the live commit again, with today's config vars. Leaving does not stop it: builds:output -t."""
    from gitpaas import receive

    code = receive.rebuild(call.platform, call.app(app), call.actor, call.progress())
    return 1 if code else 0


def _noted(call: Call, name: str | None) -> str | None:
    """A name that can be one, kept with the event."""
    if name is not None:
        instance_name(name)
        call.note(name)
    return name


def _quantity(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"([^=]+)=(\d{1,4})", text)
    if not match or int(match[2]) > _MOST:
        raise UsageError(f"{text[:80]!r} is not PROCESS=COUNT with a count from 0 to {_MOST}.", "For example: web=2")
    return process_name(match[1]), int(match[2])


def _row(instance: Instance, app: App) -> list[str]:
    since = instance.exited_at if instance.state == "exited" else instance.started_at
    return [instance.label, _state(instance, app), f"v{instance.release}", instance.address or "-", ago(since)]


def _state(instance: Instance, app: App) -> str:
    if instance.state == "running" and instance.release < (app.release or 0):
        return "draining"  # it ends what it was asked before the switch
    if holding.is_held(app, instance.process, instance.number):
        return "stopping" if instance.state == "running" else "stopped"
    if instance.state == "running":
        times = instance.restarts
        return "running" if not times else f"running ({times} restart{'s' if times > 1 else ''})"
    how = "out of memory" if instance.oom else "exited"
    if instance.exit_code is not None and not instance.oom:
        how = f"exited ({instance.exit_code})"
    wait = Missing(instance.process, instance.number, instance).due - time.time()
    return f"{how}, starts again in {seconds(wait)}" if instance.release == app.release and wait >= 1 else how


def _absent(app: App, formation: Mapping[str, int], instances: Sequence[Instance]) -> list[list[str]]:
    present = {(instance.process, instance.number) for instance in instances}
    return [
        [f"{process}.{number}", "stopped" if holding.is_held(app, process, number) else "not running", "-", "-", "-"]
        for process, numbers in holding.copies(app, formation).items()
        for number in numbers
        if (process, number) not in present
    ]


def _describe(app: App, formation: Mapping[str, int], instances: Sequence[Instance]) -> dict[str, Any]:
    return {
        "app": app.name,
        "formation": dict(formation),
        "stopped": app.stopped,
        "held": sorted(holding.names(app)),
        "instances": [
            {
                "name": instance.label,
                "state": instance.state,
                "release": instance.release,
                "address": instance.address,
                "started_at": iso(instance.started_at),
                "exited_at": iso(instance.exited_at),
                "exit_code": instance.exit_code,
                "oom": instance.oom,
                "restarts": instance.restarts,
            }
            for instance in instances
        ],
    }


COMMANDS = (listing, restart, scale, *options.COMMANDS_OF_PS, stop, start, rebuild)
