"""registry: private registries that builds pull from."""

from __future__ import annotations

import click

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option
from gitpaas.commands.table import Column, render
from gitpaas.engine import registries
from gitpaas.errors import NotFound, UsageError
from gitpaas.values import Secret


@command("registry", role="admin")
@format_option
def listing(call: Call, style: str) -> None:
    """List the private registries that builds log in to, and as whom. Passwords are never shown."""
    known = registries.known(call.config)
    if style == "json":
        call.say_json([{"registry": host, "user": user} for host, user in known.items()])
    elif not known:
        call.say(f"No registries. Log in to one: {call.program} registry:login HOST USER")
    else:
        call.say(render((Column("REGISTRY"), Column("USER", text=True)), list(known.items()), call.console.width))


@command("registry:login", role="admin", changes=True)
@click.argument("host", metavar="HOST")
@click.argument("user", metavar="USER")
def login(call: Call, host: str, user: str) -> None:
    """Let builds pull from a private registry. The password or token comes on standard input, or is asked for."""
    registry = registries.host(host)
    call.note(f"{registry} as {user[:80]}")
    registries.keep(call.config, registry, user, _password(call, f"Password of {user} at {registry}: "))
    call.say(f"Builds log in to {registry} as {user}. The next pull shows whether it lets them.")


@command("registry:logout", role="admin", changes=True)
@click.argument("host", metavar="HOST")
def logout(call: Call, host: str) -> None:
    """Forget the password of a registry."""
    registry = registries.host(host)
    call.note(registry)
    if not registries.forget(call.config, registry):
        raise NotFound(f"Nobody is logged in to {registry}.", f"List them: {call.program} registry")
    call.say(f"Builds do not log in to {registry} any more.")


def _password(call: Call, question: str) -> Secret:
    """Never an argument: those can be read by everybody on a machine."""
    if not call.console.tty:
        return Secret(call.console.read().decode("utf-8", "replace").strip("\r\n"))
    if not call.is_local:
        raise UsageError(
            "It would be shown while you type it.",
            "Pipe it in: ssh paas registry:login HOST USER < FILE-WITH-THE-TOKEN",
        )
    from getpass import getpass

    return Secret(getpass(question))


COMMANDS = (listing, login, logout)
