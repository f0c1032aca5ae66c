"""From words to a command: `apps:create x` and `apps create x`, and a near name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from gitpaas.commands.audit import audited
from gitpaas.commands.base import Command
from gitpaas.commands.call import Call
from gitpaas.errors import UsageError

_OTHER_WORDS = {"--help": "help", "-h": "help", "--version": "version"}


def dispatch(commands: Sequence[Command], argv: list[str], call: Call) -> int:
    """Find the command, run it, keep what it changed, or that it was refused, as an event; its exit code."""
    command, args = resolve(commands, argv, call.program)
    return audited(command, args, call, lambda: _run(commands, command, args, call))


def _run(commands: Sequence[Command], command: Command, args: list[str], call: Call) -> int:
    try:
        return command.run(args, call)
    except UsageError as error:
        if args and (near := _near_verb(commands, command, args[0])):
            raise UsageError(f"{command.name} {args[0][:80]}: {error.message}", f"Did you mean {near}?") from error
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
    raise UsageError(f"There is no command {first[:80]!r}.", _suggestion(named, first, args, program))


def _near_verb(commands: Sequence[Command], command: Command, word: str) -> str | None:
    """`config sett hello A=b` is parsed as `config` of an app "sett"; what was meant is `config:set`."""
    noun = f"{command.name}:"
    verbs = [str(other.name).removeprefix(noun) for other in commands if str(other.name).startswith(noun)]
    near = difflib.get_close_matches(word, verbs, n=1, cutoff=0.8)
    return noun + near[0] if near else None


def _suggestion(named: dict[str, Command], first: str, args: Sequence[str], program: str) -> str:
    visible = [name for name, command in named.items() if not command.hidden]
    tried = [first, f"{first}:{args[0]}"] if args else [first]
    near = [name for word in tried for name in difflib.get_close_matches(word, visible, n=1, cutoff=0.7)]
    near += [name for name in visible if name.endswith(f":{first}")]
    if not near:
        return f"List them: {program} help"
    return f"Did you mean {near[-1] if len(near) > 1 and args else near[0]}?"
