"""A control group: memory, process and CPU limits for a whole instance, by v2 or v1, and the end of all in it.

v2: https://docs.kernel.org/admin-guide/cgroup-v2.html; v1: .../cgroup-v1/memory.html, pids.html
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gitpaas.linux import processes
from gitpaas.linux.processes import Process
from gitpaas.values import Limits

Version = Literal["v1", "v2"]
_PERIOD = 100_000  # microseconds in which a CPU's time is shared out; the kernel's own default
_V1_MEMORY = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
_KILLS = 100
_BUSY = 2.0  # seconds until the last zombie of a group has been collected


@dataclass(frozen=True)
class Cgroup:
    """One group: a directory (v2), or one per controller (v1: memory, pids; cpu and cpuacct where there are)."""

    version: Version
    paths: tuple[Path, ...]

    def create(self, limits: Limits) -> None:
        """OSError when the machine refuses after all."""
        for path in self.paths:
            path.mkdir(exist_ok=True)
        _limit(self, limits)

    def members(self) -> list[Process]:
        pids = {int(pid) for path in self.paths for group in _with_children(path) for pid in procs(group)}
        return [process for pid in pids if (process := processes.find(pid))]

    def is_empty(self) -> bool:
        return not any(procs(group) for group in _with_children(self.paths[0]))

    def within(self, name: str) -> Cgroup | None:
        """The group above it (or itself) that has `name` in its name."""
        above = [next((one for one in (path, *path.parents) if name in one.name), None) for path in self.paths]
        return Cgroup(self.version, tuple(path for path in above if path)) if all(above) else None

    def forbid_forks(self) -> None:
        """So that a fork bomb can be killed one by one."""
        for path in self.paths:
            if (path / "pids.max").exists():
                try_write(path / "pids.max", "0")

    def kill(self) -> None:
        """SIGKILL to all in it, until nobody is (or somebody is stuck in the kernel)."""
        self.forbid_forks()
        for _ in range(_KILLS):
            alive = [process for process in self.members() if process.is_alive()]
            if not alive:
                return
            for process in alive:
                processes.send(process, signal.SIGKILL)
            time.sleep(0.01)

    def ooms(self) -> int:
        """How many processes of it the kernel has killed for want of memory."""
        name = "memory.events" if self.version == "v2" else "memory.oom_control"
        counts = [re.search(r"^oom_kill (\d+)$", read(path / name), re.MULTILINE) for path in self.paths]
        return sum(int(count[1]) for count in counts if count)

    def remove(self) -> None:
        """Take an empty group away. Gone already is fine, and so is one that somebody is still in."""
        for path in self.paths:
            for group in reversed(list(_with_children(path))):
                remove_group(group)


def _limit(group: Cgroup, limits: Limits) -> None:
    memory, pids = group.paths[0], group.paths[0 if group.version == "v2" else 1]
    if limits.memory is not None:
        names = ("memory.max", "memory.swap.max") if group.version == "v2" else _V1_MEMORY
        (memory / names[0]).write_text(str(limits.memory))
        # Who swaps first slows the whole machine down before being stopped. Not every kernel counts swap.
        try_write(memory / names[1], "0" if group.version == "v2" else str(limits.memory))
    if limits.processes is not None:
        (pids / "pids.max").write_text(str(limits.processes))
    if limits.cpus is not None:
        _limit_cpus(group, limits.cpus)


def _limit_cpus(group: Cgroup, cpus: float) -> None:
    """Where the machine can: too much CPU harms nobody as too much memory does."""
    quota = max(1000, round(cpus * _PERIOD))
    for path in group.paths:
        if (path / "cpu.max").exists():
            try_write(path / "cpu.max", f"{quota} {_PERIOD}")
        elif (path / "cpu.cfs_quota_us").exists():
            try_write(path / "cpu.cfs_period_us", str(_PERIOD))
            try_write(path / "cpu.cfs_quota_us", str(quota))


def _with_children(path: Path) -> Iterator[Path]:
    """A group and all below it, parents first: an app may divide a group it owns (it cannot own ours, but a user's)."""
    yield path
    with suppress(OSError):
        for child in path.iterdir():
            if child.is_dir():
                yield from _with_children(child)


def procs(path: Path) -> Sequence[str]:
    """The pids in one group, without those below it."""
    return read(path / "cgroup.procs").split()


def remove_group(path: Path) -> None:
    """Gone already is fine, and so is one that is not let go of in time."""
    deadline = time.monotonic() + _BUSY
    while path.is_dir():
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # EBUSY: a zombie in it
            if time.monotonic() > deadline:
                return
            time.sleep(0.005)


def read(path: Path) -> str:
    """Nothing when it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def try_write(path: Path, text: str) -> bool:
    """Whether the kernel took it."""
    try:
        path.write_text(text)
    except OSError:
        return False
    return True
