"""config: an app's config vars. Only the roles deploy and admin see values."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

from gitpaas.commands.base import app_argument, command, format_option
from gitpaas.commands.call import Call
from gitpaas.errors import NotFound, UsageError
from gitpaas.store import App
from gitpaas.values import variable_name


@command("config", role="read")
@app_argument
@format_option
def listing(call: Call, app: str, style: str) -> None:
    """List the config vars. Who has the role read sees their names only."""
    from gitpaas import configvars

    variables = configvars.current(call.platform, call.app(app))
    may_see = call.may("deploy", app)
    shown = {name: value.reveal() if may_see else None for name, value in sorted(variables.items())}
    if style == "json":
        call.say_json(shown)
    elif not shown:
        call.say(f"{app} has no config vars. Set one: {call.program} config:set {app} NAME=VALUE")
    else:
        call.say("\n".join(name if value is None else f"{name}={value}" for name, value in shown.items()))


@command("config:get", role="deploy")
@app_argument
@click.argument("name", metavar="NAME")
@format_option
def get(call: Call, app: str, name: str, style: str) -> None:
    """Print the value of one config var, and nothing else."""
    from gitpaas import configvars

    variables = configvars.current(call.platform, call.app(app))
    if name not in variables:
        near = difflib.get_close_matches(name, variables, n=1)
        raise NotFound(f"{app} has no config var {name[:80]!r}.", f"Did you mean {near[0]}?" if near else None)
    value = variables[name].reveal()
    call.say_json({name: value}) if style == "json" else call.say(value)


@command("config:set", role="deploy", changes=True)
@app_argument
@click.argument("pairs", metavar="NAME=VALUE...", nargs=-1, required=True)
@click.option("--no-restart", is_flag=True, help="Keep it for the next release; what runs stays as it is.")
def set_(call: Call, app: str, pairs: Sequence[str], no_restart: bool) -> None:
    """Set config vars: a new release, started without downtime."""
    if "=" in app:
        raise UsageError("Which app?", f"{call.program} config:set APP NAME=VALUE")
    _change(call, call.app(app), dict(map(_pair, pairs)), restart=not no_restart)


@command("config:unset", role="deploy", changes=True)
@app_argument
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--no-restart", is_flag=True, help="Keep it for the next release; what runs stays as it is.")
def unset(call: Call, app: str, names: Sequence[str], no_restart: bool) -> None:
    """Remove config vars: a new release, started without downtime."""
    from gitpaas import configvars

    found = call.app(app)
    known = configvars.current(call.platform, found)
    if missing := [name for name in names if name not in known]:
        near = difflib.get_close_matches(missing[0], known, n=1)
        raise NotFound(f"{app} has no config var {missing[0][:80]!r}.", f"Did you mean {near[0]}?" if near else None)
    _change(call, found, dict.fromkeys(names), restart=not no_restart)


@command("config:rekey", role="admin", changes=True)
def rekey(call: Call) -> None:
    """Make a new key for the config vars of all apps, and seal them anew. The old key opens none of them any more."""
    from gitpaas.rekey import rekey as close_again

    done = close_again(call.platform)
    call.note(f"{done.values} config vars, {done.releases} releases")
    call.say(
        f"{done.values} config vars and those of {done.releases} releases have a new key: {call.config.secret_key}"
    )
    call.say("A backup of before needs the key that is in it.")
    if not done.tidy:
        call.say(
            "The database was busy, so texts that the old key opens are still in its files. Do it once more, later."
        )


def _change(call: Call, app: App, changes: dict[str, str | None], *, restart: bool) -> None:
    from gitpaas import deploy

    call.note(", ".join(changes))
    release = deploy.set_config(call.platform, app, changes, call.actor, call.progress(), restart=restart)
    verb = "Unset" if all(value is None for value in changes.values()) else "Set"
    effect = f"{app.name} v{release.number} is live." if release else "The next release will see it."
    call.say(f"{verb} {', '.join(changes)}. {effect}")
    if changes.get("PORT") is not None:
        call.say("A web process never sees this PORT: each of its instances is given one of its own.")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        # The text itself may be the rest of a secret that lost its quotes: not repeated here.
        raise UsageError(
            "Every argument after the app is NAME=VALUE; one of them has no '='.",
            "A value with spaces needs quotes twice over SSH: ssh paas \"config:set APP 'NAME=a b'\"",
        )
    return variable_name(name), value


COMMANDS = (listing, get, set_, unset, rekey)
