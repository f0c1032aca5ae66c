"""Commands: the same over SSH and in the shell. One file a noun; the tuple at the bottom is the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitpaas.commands import (
    access,
    apps,
    builds,
    config,
    cron,
    disk,
    doctor,
    enter,
    events,
    help,  # noqa: A004  (a module, named after its command)
    init,
    keys,
    logs,
    machine,
    maintenance,
    open,  # noqa: A004
    ps,
    receive,
    registry,
    releases,
    resource,
    run,
    service,
    storage,
    toolchain,
    top,
    version,
)
from gitpaas.commands.base import Command
from gitpaas.commands.call import Call
from gitpaas.commands.dispatch import dispatch
from gitpaas.commands.door import guarded
from gitpaas.output import Console
from gitpaas.values import Actor

if TYPE_CHECKING:
    from gitpaas.platform import Platform


def execute(platform: Platform, argv: list[str], actor: Actor, console: Console) -> int:
    """Run one command to its end and return its exit code. Never raises, never touches the process's own streams.

    Nothing typed (`ssh paas` alone) shows the apps and their URLs."""
    with Call(platform.config, lambda: platform, actor, console) as call:
        return guarded(platform.config, console, lambda: dispatch(COMMANDS, argv or ["apps"], call))


# In the order of `help`.
COMMANDS: tuple[Command, ...] = (
    *apps.COMMANDS,
    *config.COMMANDS,
    *ps.COMMANDS,
    *top.COMMANDS,
    *resource.COMMANDS,
    *run.COMMANDS,
    *enter.COMMANDS,
    *cron.COMMANDS,
    *logs.COMMANDS,
    *builds.COMMANDS,
    *releases.COMMANDS,
    *storage.COMMANDS,
    *maintenance.COMMANDS,
    *keys.COMMANDS,
    *access.COMMANDS,
    *events.COMMANDS,
    *disk.COMMANDS,
    *open.COMMANDS,
    *version.COMMANDS,
    *help.COMMANDS,
    *init.COMMANDS,
    *machine.COMMANDS,
    *doctor.COMMANDS,
    *service.COMMANDS,
    *toolchain.COMMANDS,
    *registry.COMMANDS,
    *receive.COMMANDS,
)
