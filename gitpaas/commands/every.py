"""All commands: one file a noun; the tuple at the bottom is the registry."""

from __future__ import annotations

from gitpaas.commands import (
    access,
    apps,
    builds,
    checks,
    config,
    cron,
    disk,
    doctor,
    domains,
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
    *checks.COMMANDS,
    *domains.COMMANDS,
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
