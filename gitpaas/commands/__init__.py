"""Commands: the same over SSH and in the shell. What there is says every.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitpaas.commands.call import Call
from gitpaas.commands.dispatch import dispatch
from gitpaas.commands.door import guarded
from gitpaas.output import Console
from gitpaas.values import Actor

if TYPE_CHECKING:
    from gitpaas.commands.base import Command
    from gitpaas.platform import Platform


def execute(platform: Platform, argv: Sequence[str], actor: Actor, console: Console) -> int:
    """Run one command to its end and return its exit code. Never raises, never touches the process's own streams.

    Nothing typed (`ssh paas` alone) shows the apps and their URLs."""
    with Call(platform.config, lambda: platform, actor, console) as call:
        return guarded(platform.config, console, lambda: dispatch(known(argv), argv or ["apps"], call))


def known(argv: Sequence[str]) -> Sequence[Command]:
    """The commands among which these words are looked up. The server's own process is no place for the others, two
    megabytes of it, before somebody asks for one."""
    if argv[:1] == ["serve"]:
        from gitpaas.commands import machine

        return machine.COMMANDS
    from gitpaas.commands.every import COMMANDS

    return COMMANDS
