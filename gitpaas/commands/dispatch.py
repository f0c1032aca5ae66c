"""From words to a command: `apps:create x` and `apps create x`, and a near name for a wrong one."""

from __future__ import annotations

from collections.abc import Sequence

from gitpaas.commands import near
from gitpaas.commands.audit import audited
from gitpaas.commands.base import Command
from gitpaas.commands.call import Call
from gitpaas.errors import UsageError

_OTHER_WORDS = {"--help": "help", "-h": "help", "--version": "version"}


def dispatch(commands: Sequence[Command], argv: Sequence[str], call: Call) -> int:
    """Find the command, run it, keep what it changed, or that it was refused, as an event; its exit code."""
    command, args = resolve(commands, argv, call.program)
    return audited(command, args, call, lambda: _run(commands, command, args, call))


def _run(commands: Sequence[Command], command: Command, args: list[str], call: Call) -> int:
    try:
        return command.run(args, call)
    except UsageError as error:
        if args and (meant := near.verb_meant(_visible(commands), str(command.name), args[0])):
            raise UsageError(f"{command.name} {args[0][:80]}: {error.message}", f"Did you mean {meant}?") from error
        if args and (hint := near.of_an_app(str(command.name), call.program)):
            raise UsageError(error.message, f"{error.hint}\n{hint}") from error
        raise


def resolve(commands: Sequence[Command], argv: Sequence[str], program: str) -> tuple[Command, list[str]]:
    """The command that the first word names (or the first two, noun and verb) and its arguments; else UsageError."""
    named = {str(command.name): command for command in commands}
    first, *args = argv
    first = _OTHER_WORDS.get(first, first)
    if args and (command := named.get(f"{first}:{args[0]}")):
        return command, args[1:]
    if command := named.get(first):
        return command, args
    hint = near.suggestion(_visible(commands), [first, *args], program)
    raise UsageError(f"There is no command {first[:80]!r}.", hint)


def _visible(commands: Sequence[Command]) -> list[str]:
    return [str(command.name) for command in commands if not command.hidden]
