"""What a container takes, read where the kernel keeps it: by way of its first process, which the engine names."""

from __future__ import annotations

from gitpaas import linux
from gitpaas.engine import Engine
from gitpaas.runtimes.docker.view import inspect
from gitpaas.values import Usage


def of_container(engine: Engine, container: str) -> Usage | None:
    """None of one that has ended, or whose processes are not this machine's. EngineFailed."""
    found = inspect(engine, container, "looking at what a container takes")
    process = found["State"].get("Pid") if found else None
    group = linux.group_of(process) if process else None
    own = group.within(found["Id"]) if found and group else None  # else another machine's number: somebody else's here
    return linux.usage.of_group(own) if own else None
