"""config: an app's config vars. Only the roles deploy and admin see values."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

import click

from gitpaas.apps import envfile
from gitpaas.commands import config_input
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option
from gitpaas.errors import NotFound, UsageError, nearest
from gitpaas.store import App

_no_restart = click.option("--no-restart", is_flag=True, help="Keep it for the next release; what runs stays as it is.")


@command("config", role="read")
@app_argument
@format_option
def listing(call: Call, app: str, style: str) -> None:
    """List the config vars. Who has the role read sees their names only."""
    from gitpaas import releases
    from gitpaas.apps import configvars

    found = call.app(app)
    variables = configvars.current(call.platform, found)
    may_see = call.may("deploy", app)
    shown = {name: value.reveal() if may_see else None for name, value in sorted(variables.items())}
    if style == "json":
        call.say_json(shown)
    elif not shown:
        call.say(f"{app} has no config vars. Set one: {call.program} config:set {app} NAME=VALUE")
    else:
        call.say("\n".join(name if value is None else f"{name}={_on_one_line(value)}" for name, value in shown.items()))
    live = releases.live(found)
    if live is not None and (waiting := configvars.not_live(call.platform, found, live)):
        call.console.err(f"Not live yet, for the next release: {', '.join(waiting)}\n")


@command("config:get", role="deploy")
@app_argument
@click.argument("name", metavar="NAME")
@format_option
def get(call: Call, app: str, name: str, style: str) -> None:
    """Print the value of one config var, and nothing else."""
    from gitpaas.apps import configvars

    variables = configvars.current(call.platform, call.app(app))
    if name not in variables:
        raise _unknown(call, app, name, variables)
    value = variables[name].reveal()
    call.say_json({name: value}) if style == "json" else call.say(value)


@command("config:set", role="deploy", changes=True)
@app_argument
@click.argument("pairs", metavar="NAME=VALUE...|NAME", nargs=-1)
@click.option("--file", "source", metavar="FILE|-", help="Take names and values from a .env file.")
@_no_restart
def set_(call: Call, app: str, pairs: Sequence[str], source: str | None, no_restart: bool) -> None:
    """Set config vars: a new release, started without downtime. NAME alone takes standard input as its value.

    Of that the last line end is left out, as a shell does it, so config:get of one app can be the input of another's
    config:set. What stands beside --file goes over what is in it."""
    if "=" in app or not (pairs or source):
        raise UsageError("Set what?" if "=" not in app else "Which app?", f"{call.program} config:set APP NAME=VALUE")
    found = call.app(app)
    in_file = config_input.from_file(call, found, source, "env") if source else {}
    in_words = config_input.from_words(call, found, pairs)
    _change(call, found, in_file | in_words, restart=not no_restart)


@command("config:unset", role="deploy", changes=True)
@app_argument
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_no_restart
def unset(call: Call, app: str, names: Sequence[str], no_restart: bool) -> None:
    """Remove config vars: a new release, started without downtime."""
    from gitpaas.apps import configvars

    found = call.app(app)
    known = configvars.current(call.platform, found)
    if missing := [name for name in names if name not in known]:
        raise _unknown(call, app, missing[0], known)
    _change(call, found, dict.fromkeys(names), restart=not no_restart)


@command("config:export", role="deploy")
@app_argument
@click.option("--format", "style", type=click.Choice(["env", "json", "shell"]), default="env", help="env unless told.")
def export(call: Call, app: str, style: str) -> None:
    """Print all config vars for another program: a .env file, JSON, or commands that a shell can eval."""
    from gitpaas.apps import configvars

    variables = configvars.current(call.platform, call.app(app))
    call.console.out(envfile.write({name: value.reveal() for name, value in variables.items()}, style))


@command("config:import", role="deploy", changes=True)
@app_argument
@click.argument("source", metavar="FILE|-", default="-")
@click.option("--format", "style", type=click.Choice(["env", "json"]), default="env", help="env unless told.")
@click.option("--replace", is_flag=True, help="Unset all that are not in it.")
@_no_restart
def import_(call: Call, app: str, source: str, style: str, replace: bool, no_restart: bool) -> None:
    """Set config vars from a .env file or JSON, all of it or nothing: a file here, over SSH standard input."""
    found = call.app(app)
    _change(call, found, config_input.from_file(call, found, source, style), restart=not no_restart, replace=replace)


@command("config:rekey", role="admin", changes=True)
def rekey_(call: Call) -> None:
    """Make a new key for the config vars of all apps, and seal them anew. The old key opens none of them any more."""
    from gitpaas.apps import rekey

    done = rekey.rekey(call.platform)
    counted = f"config vars: {done.values}, releases: {done.releases}"
    call.note(counted)
    call.say(f"All is sealed with a new key ({counted}): {call.config.secret_key}")
    call.say("A backup of before needs the key that is in it.")
    if not done.tidy:
        call.say(
            "The database was busy, so texts that the old key opens are still in its files. Do it once more, later."
        )


def _unknown(call: Call, app: str, name: str, known: Collection[str]) -> NotFound:
    hint = nearest(name, known, f"List them: {call.program} config {app}")
    return NotFound(f"{app} has no config var {name[:80]!r}.", hint)


def _on_one_line(value: str) -> str:
    """Itself, or in quotes with escapes: a value of several lines must not look like several vars."""
    is_plain = value.isprintable() and value == value.strip() and not value.startswith('"')
    return value if is_plain else json.dumps(value)


def _change(call: Call, app: App, changes: Mapping[str, str | None], *, restart: bool, replace: bool = False) -> None:
    from gitpaas import deploy  # late: much of it is for what runs

    call.note(", ".join(changes) + (", no others" if replace else ""))
    release = deploy.set_config(
        call.platform, app, changes, call.actor, call.progress(), restart=restart, replace=replace
    )
    verb = "Unset" if all(value is None for value in changes.values()) else "Set"
    effect = f"{app.name} v{release.number} is live." if release else "The next release will see it."
    call.say(f"{verb} {', '.join(changes)}{' and no others' if replace else ''}. {effect}")


COMMANDS = (listing, get, set_, unset, export, import_, rekey_)
