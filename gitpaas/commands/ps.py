"""ps: what runs of an app, and how many of each process type."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

import click

from gitpaas.commands import given, instances, options, run
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option
from gitpaas.commands.table import UNSEEN
from gitpaas.errors import UsageError
from gitpaas.instances.plan import crash_loops
from gitpaas.names import instance_name, process_name
from gitpaas.store import App
from gitpaas.values import Survey

_MOST = 100  # of one process type
_which = click.argument("name", metavar="PROCESS|PROCESS.N", required=False)


@command("ps", role="read")
@app_argument
@format_option
def listing(call: Call, app: str, style: str) -> None:
    """List the instances: state, release, uptime, restarts, last exit, memory, CPU, address; and one-off commands.

    MEM is without what could be dropped at once, CPU that of one CPU on average since the start (top says how it is
    now). RESTARTS counts crashes in a row, LAST EXIT is how the last one ended. What is wanted but does not run is
    missing, or stopped.
    """
    found = call.app(app)
    seen = call.platform.runtime.survey(found.name)
    shown = _look(call, found, seen)
    if style == "json":
        return call.say_json(instances.describe(shown) | {"one_offs": run.describe_all(call, found)})
    call.say(f"{found.name}{' (stopped)' if found.stopped else ''}: {_counted(shown.formation)}")
    loops = crash_loops([one for one in shown.instances if one.release == found.release], time.time())
    for text in (
        UNSEEN if seen.unseen else "",
        instances.table(shown, call.console.width),
        run.table(call, found),
        instances.waiting(shown),
        instances.starved(shown, call.program),
        f"{loops}. To see why: {call.program} logs {found.name}" if loops else "",
    ):
        if text:
            call.say(text)
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
@click.argument("quantities", metavar="PROCESS=COUNT...", nargs=-1)
def scale(call: Call, app: str, quantities: Sequence[str]) -> None:
    """Say how many instances of each process type run: web=2 worker=1. Without values, print what was said."""
    from gitpaas import deploy, releases

    if "=" in app:
        raise UsageError("Which app?", f"{call.program} ps:scale APP web=2")
    wanted = given.once(map(_quantity, quantities))
    call.only_looks = not wanted
    if not wanted:
        return call.say(_counted(releases.formation(call.app(app))))
    call.note(" ".join(quantities))
    return deploy.scale(call.platform, call.app(app), wanted, call.progress())


@command("ps:stop", role="deploy", changes=True)
@app_argument
@_which
def stop(call: Call, app: str, name: str | None) -> None:
    """Stop all instances, a process type or one (web.1), until ps:start; no deploy starts them.

    Without a web instance the app's page says so. Scaling changes how many there are to be, not that they are stopped.
    A one-off command (run.12) is ended, as by run:stop.
    """
    from gitpaas import deploy

    if name and run.is_one_off(call, app, name):
        return run.end(call, app, name)
    return deploy.stop(call.platform, call.app(app), call.progress(), _noted(call, name))


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
    """Build the live commit again, with today's config vars. Leaving does not stop it: builds:output -t.

    Where git:set has chosen a deploy branch that was pushed before, and was never live, that is built.
    """
    from gitpaas import receive

    code = receive.rebuild(call.platform, call.app(app), call.actor, call.progress())
    return 1 if code else 0


def _noted(call: Call, name: str | None) -> str | None:
    """A name that can be one, kept with the event."""
    if name is not None:
        instance_name(name)
        call.note(name)
    return name


def _counted(formation: Mapping[str, int]) -> str:
    return " ".join(f"{process}={quantity}" for process, quantity in formation.items()) or "no release yet"


def _quantity(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"([^=]+)=(\d{1,4})", text)
    if not match or int(match[2]) > _MOST:
        raise UsageError(f"{text[:80]!r} is not PROCESS=COUNT with a count from 0 to {_MOST}.", "For example: web=2")
    return process_name(match[1]), int(match[2])


def _look(call: Call, app: App, seen: Survey) -> instances.Shown:
    from gitpaas import releases
    from gitpaas.instances import gauge

    own = sorted((one for one in seen.instances if one.one_off is None), key=lambda i: (i.process, i.number, i.release))
    loads = gauge.at_once(call.platform.runtime, own)
    route = call.platform.router.route(call.config.host(app.name))
    live = releases.live(app)
    is_unseen = live is not None and releases.artifact(live).kind in seen.unseen
    return instances.Shown(app, releases.formation(app), own, loads, route, is_unseen)


COMMANDS = (listing, restart, scale, *options.COMMANDS_OF_PS, stop, start, rebuild)
