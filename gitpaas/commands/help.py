"""help: all commands, or one of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import click

from gitpaas import access
from gitpaas.commands.base import Command, command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option
from gitpaas.errors import UsageError


@command("help", role="read", scope="seen")
@click.argument("words", metavar="COMMAND...", nargs=-1)
@format_option
def help_(call: Call, words: Sequence[str], style: str) -> None:
    """List the commands your key may use, or explain one."""
    from gitpaas.commands.every import COMMANDS as EVERYTHING

    usable = [command for command in EVERYTHING if _is_shown(command, call)]
    found, verbs = _meant(usable, words, call) if words else (None, usable)
    if style == "json":
        call.say_json([_describe(command) for command in ([found] if found else []) + verbs])
    elif words:
        _explain(found, verbs, words[0], call)
    else:
        _overview(usable, call)


def _is_shown(command: Command, call: Call) -> bool:
    if command.hidden or (command.local and not call.is_local):
        return False
    actor = call.actor
    roles = [actor.role] if command.scope == "all" else [actor.role, *actor.grants.values()]
    return command.scope == "seen" or any(access.reaches(role, command.role) for role in roles)


def _overview(usable: Sequence[Command], call: Call) -> None:
    call.say(f"Usage: {call.program} COMMAND [ARGUMENTS]\n")
    width = max(len(str(command.name)) for command in usable)
    for one in usable:
        first, *rest = textwrap.wrap(one.title, max(call.console.width - width - 4, 30))
        call.say(f"  {one.name:<{width}}  {first}")
        for line in rest:
            call.say(f"{'':{width + 4}}{line}")
    call.say(f"\nMore about one: {call.program} help COMMAND\nA space works as well as the colon: apps create NAME")


def _meant(usable: list[Command], words: Sequence[str], call: Call) -> tuple[Command | None, list[Command]]:
    """The command, and the verbs of a noun alone: that may be no command itself (`help maintenance`)."""
    from gitpaas.commands.dispatch import resolve

    verbs = [command for command in usable if str(command.name).startswith(f"{words[0]}:")]
    try:
        found, _ = resolve(usable, words, call.program)
    except UsageError:
        if not verbs:
            raise
        found = None
    return found, verbs if len(words) == 1 else []


def _explain(found: Command | None, verbs: Sequence[Command], noun: str, call: Call) -> None:
    """A command's own help, and a line for each verb of its noun."""
    if found:
        found.run(["--help"], call)
    if verbs:
        call.say("\nSee also:" if found else f"{noun} has:")
        for verb in verbs:
            call.say(f"  {verb.synopsis()}")


def _describe(command: Command) -> dict[str, object]:
    return {"name": command.name, "usage": command.synopsis(), "role": command.role, "about": command.title}


COMMANDS = (help_,)
