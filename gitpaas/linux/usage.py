"""What a group of processes takes: from its cgroup, which forgets nothing, else by adding up its processes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from gitpaas.linux import processes
from gitpaas.linux.cgroups import Cgroup, read
from gitpaas.linux.processes import Process
from gitpaas.values import Usage

# Of each kind of cgroup the file with all memory, and what in memory.stat could be dropped at once: it is not missed
# by anybody, and `docker stats` leaves it out too.
_MEMORY = (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file"))
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def of_group(group: Cgroup) -> Usage | None:
    """None when nobody is in it, or it cannot be read."""
    if group.is_empty():
        return None
    memory, cpu = _first(_memory(path) for path in group.paths), _first(_cpu(path) for path in group.paths)
    if memory is None or cpu is None:  # the controller is not there
        added = _added(group.members())
        memory, cpu = memory if memory is not None else added.memory, cpu if cpu is not None else added.cpu
    return Usage(int(memory), cpu, time.monotonic())


def of_sessions(leaders: Mapping[str, Process]) -> dict[str, Usage]:
    """By the same names, all that is in the session of each; of those that are alive."""
    members = processes.sessions()
    return {
        name: _added(members[leader.pid])
        for name, leader in leaders.items()
        if leader.is_alive() and leader.pid in members
    }


def _memory(path: Path) -> float | None:
    for name, cache in _MEMORY:
        if (total := _number(path / name)) is not None:
            dropped = re.search(rf"^{cache} (\d+)$", read(path / "memory.stat"), re.MULTILINE)
            return max(0.0, total - (int(dropped[1]) if dropped else 0))
    return None


def _cpu(path: Path) -> float | None:
    if (nanoseconds := _number(path / "cpuacct.usage")) is not None:
        return nanoseconds / 1e9
    microseconds = re.search(r"^usage_usec (\d+)$", read(path / "cpu.stat"), re.MULTILINE)
    return int(microseconds[1]) / 1e6 if microseconds else None


def _added(members: Iterable[Process]) -> Usage:
    """Resident pages, shared ones counted each time; and the time of children that were waited for."""
    taken = [found for process in members if (found := processes.taken(process))]
    pages, ticks = sum(found.pages for found in taken), sum(found.ticks for found in taken)
    return Usage(pages * _PAGE, ticks / _TICKS, time.monotonic())


def _first(found: Iterable[float | None]) -> float | None:
    return next((value for value in found if value is not None), None)


def _number(path: Path) -> int | None:
    text = read(path).strip()
    return int(text) if text.isdecimal() else None
