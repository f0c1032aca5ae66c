"""Memory, process and CPU limits for a whole instance: cgroup v2 or v1, whatever is there and lets us in.

Layout: one group per instance, `gitpaas.<name>`, directly in the highest group that we may use. For root that is the
top (as Docker does it), for a service with Delegate=yes its own, for a user the part systemd gave to that user.
v2: https://docs.kernel.org/admin-guide/cgroup-v2.html; v1: .../cgroup-v1/memory.html, pids.html
"""

from __future__ import annotations

import hashlib
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from gitpaas.linux import processes
from gitpaas.linux.processes import Process
from gitpaas.values import Limits

Version = Literal["v1", "v2"]
_NEEDED = ("memory", "pids")
_WELCOME = ("cpu", "cpuacct")  # used where there are: the one limits, the other counts (v2 counts always)
_PERIOD = 100_000  # microseconds in which a CPU's time is shared out; the kernel's own default
_V1_MEMORY = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
_PREFIX = "gitpaas."
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
        pids = {int(pid) for path in self.paths for group in _with_children(path) for pid in _procs(group)}
        return [process for pid in pids if (process := processes.find(pid))]

    def is_empty(self) -> bool:
        return not any(_procs(group) for group in _with_children(self.paths[0]))

    def within(self, name: str) -> Cgroup | None:
        """The group above it (or itself) that has `name` in its name."""
        above = [next((one for one in (path, *path.parents) if name in one.name), None) for path in self.paths]
        return Cgroup(self.version, tuple(path for path in above if path)) if all(above) else None

    def forbid_forks(self) -> None:
        """So that a fork bomb can be killed one by one."""
        for path in self.paths:
            if (path / "pids.max").exists():
                _try_write(path / "pids.max", "0")

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
        counts = [re.search(r"^oom_kill (\d+)$", _read(path / name), re.MULTILINE) for path in self.paths]
        return sum(int(count[1]) for count in counts if count)

    def remove(self) -> None:
        """Take an empty group away. Gone already is fine, and so is one that somebody is still in."""
        for path in self.paths:
            for group in reversed(list(_with_children(path))):
                _remove(group, time.monotonic() + _BUSY)


def build_cgroup(tree: Path) -> Cgroup | None:
    """The group of the build that works in `tree`: that is unique on the machine, app and build number are not."""
    return cgroup("build-" + hashlib.sha256(str(tree).encode()).hexdigest()[:20])


def end_build(tree: Path) -> None:
    """Kill all that the steps of the build in `tree` have left running."""
    if group := build_cgroup(tree):
        group.kill()
        group.remove()
    else:
        processes.kill_showing("/app", tree)


def cgroup(name: str) -> Cgroup | None:
    """The group of this name, not made yet; None on a machine (or for a user) without usable cgroups."""
    place = _place()
    return Cgroup(place.version, tuple(path / f"{_PREFIX}{name}" for path in place.paths)) if place else None


def group_of(process: int) -> Cgroup | None:
    """The group that this process is in, somebody else's perhaps: to look at, not to change."""
    for version, hierarchies in _hierarchies(process):
        paths = tuple(dict.fromkeys(own for _, own in hierarchies if own.is_dir()))
        if paths and (version == "v1" or (paths[0] / "memory.current").exists()):
            return Cgroup(version, paths)
    return None


def cgroup_version() -> Version | None:
    """Which cgroups limit the instances; None: only rlimits do."""
    place = _place()
    return place.version if place else None


def can_limit_cpus() -> bool:
    """Whether groups made here can be given a part of the CPUs."""
    place = _place()
    if place is None or place.version == "v1":
        return place is not None and any((path / "cpu.shares").exists() for path in place.paths)
    return _WELCOME[0] in _read(place.paths[0] / "cgroup.subtree_control").split()


def inner_path(group: Cgroup) -> str | None:
    """What programs that make groups of their own call it: "/gitpaas.x". None where it has several such names."""
    points = _mount_points()
    names = {
        str(path.relative_to(max((p for p in points if path.is_relative_to(p)), key=lambda point: len(point.parts))))
        for path in group.paths
    }
    return f"/{names.pop()}" if len(names) == 1 else None


def everywhere(group: Cgroup) -> Cgroup:
    """The group together with what has its name in the hierarchies that we do not use: runc, told that name, makes one
    in each (v1), and removes only those below it."""
    name = inner_path(group)
    same = [path for point in _mount_points() if name and (path := point / name.lstrip("/")).is_dir()]
    return Cgroup(group.version, tuple(dict.fromkeys([*group.paths, *same])))


def _mount_points() -> list[Path]:
    lines = _read(Path("/proc/self/mountinfo")).splitlines()
    return [Path(line.split()[4]) for line in lines if " - cgroup" in line]


@cache
def _place() -> Cgroup | None:
    """The group (v1: one per controller) in which to make ours; tried once, for real, with a process in it."""
    for version, hierarchies in _hierarchies():
        paths = [_highest_usable(version, *hierarchy) for hierarchy in hierarchies]
        needed = 1 if version == "v2" else len(_NEEDED)
        if all(paths[:needed]):
            return Cgroup(version, tuple(path for path in paths if path))
    return None


def _hierarchies(process: int | None = None) -> Iterator[tuple[Version, list[tuple[Path, Path]]]]:
    """v2 first: (mount point, the group we are in, or that process) of each hierarchy that is used."""
    mounted: dict[str, tuple[Path, Path]] = {}
    own = _own_groups(process)
    for line in _read(Path("/proc/self/mountinfo")).splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split(maxsplit=2)
        names = {"cgroup2": {""}, "cgroup": set(options.split(","))}.get(kind, set())
        for name in names & own.keys():
            inner = own[name].removeprefix(root if root != "/" else "")
            mounted.setdefault(name, (Path(point), Path(point, inner.strip("/"))))
    if "" in mounted:
        yield "v2", [mounted[""]]
    if all(name in mounted for name in _NEEDED):
        welcome = dict.fromkeys(mounted[name] for name in _WELCOME if name in mounted)  # often one and the same
        yield "v1", [*(mounted[name] for name in _NEEDED), *welcome]


def _own_groups(process: int | None) -> dict[str, str]:
    """Controller -> path, "" for v2, from /proc/PID/cgroup ("4:memory:/a/b", "0::/c")."""
    lines = [line.split(":", 2) for line in _read(Path(f"/proc/{process or 'self'}/cgroup")).splitlines()]
    return {name: path for _, names, path in lines for name in names.split(",")}


def _highest_usable(version: Version, top: Path, own: Path) -> Path | None:
    below = [path for path in (own, *own.parents) if path.is_relative_to(top)]
    return next((path for path in reversed(below) if path.is_dir() and _is_usable(version, path, own)), None)


def _is_usable(version: Version, parent: Path, own: Path) -> bool:
    if version == "v2" and not _hands_down(parent, own):
        return False
    probe = parent / f"{_PREFIX}probe-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
    except OSError:
        return False
    try:
        join = ["/bin/sh", "-c", 'echo 0 >"$1/cgroup.procs"', "sh", str(probe)]
        return subprocess.run(join, capture_output=True, check=False).returncode == 0
    finally:
        _remove(probe, time.monotonic() + _BUSY)


def _hands_down(parent: Path, own: Path) -> bool:
    """Whether groups made in `parent` get the controllers; turns them on where that is ours to do."""
    if not set(_NEEDED) <= set(_read(parent / "cgroup.controllers").split()):
        return False
    if _turn_on(parent):
        return True
    # A group with processes of its own hands nothing down ("no internal processes"): ours move one floor below.
    return parent == own and _move_below(parent) and _turn_on(parent)


def _turn_on(parent: Path) -> bool:
    """The controllers we need, for the groups below; and the one that is welcome, if this machine has it."""
    control = parent / "cgroup.subtree_control"
    on = set(_read(control).split())
    if not set(_NEEDED) <= on and not _try_write(control, " ".join(f"+{name}" for name in _NEEDED)):
        return False
    if _WELCOME[0] not in on:
        _try_write(control, f"+{_WELCOME[0]}")
    return True


def _move_below(parent: Path) -> bool:
    server = parent / f"{_PREFIX}server"
    try:
        server.mkdir(exist_ok=True)
    except OSError:
        return False
    moved = [_try_write(server / "cgroup.procs", pid) for pid in _procs(parent)]
    return all(moved)


def _limit(group: Cgroup, limits: Limits) -> None:
    memory, pids = group.paths[0], group.paths[0 if group.version == "v2" else 1]
    if limits.memory is not None:
        names = ("memory.max", "memory.swap.max") if group.version == "v2" else _V1_MEMORY
        (memory / names[0]).write_text(str(limits.memory))
        # Who swaps first slows the whole machine down before being stopped. Not every kernel counts swap.
        _try_write(memory / names[1], "0" if group.version == "v2" else str(limits.memory))
    if limits.processes is not None:
        (pids / "pids.max").write_text(str(limits.processes))
    if limits.cpus is not None:
        _limit_cpus(group, limits.cpus)


def _limit_cpus(group: Cgroup, cpus: float) -> None:
    """Where the machine can: too much CPU harms nobody as too much memory does."""
    quota = max(1000, round(cpus * _PERIOD))
    for path in group.paths:
        if (path / "cpu.max").exists():
            _try_write(path / "cpu.max", f"{quota} {_PERIOD}")
        elif (path / "cpu.cfs_quota_us").exists():
            _try_write(path / "cpu.cfs_period_us", str(_PERIOD))
            _try_write(path / "cpu.cfs_quota_us", str(quota))


def _with_children(path: Path) -> Iterator[Path]:
    """A group and all below it, parents first: an app may divide a group it owns (it cannot own ours, but a user's)."""
    yield path
    with suppress(OSError):
        for child in path.iterdir():
            if child.is_dir():
                yield from _with_children(child)


def _procs(path: Path) -> Sequence[str]:
    return _read(path / "cgroup.procs").split()


def _remove(path: Path, deadline: float) -> None:
    while path.is_dir():
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # EBUSY: a zombie in it
            if time.monotonic() > deadline:
                return
            time.sleep(0.005)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _try_write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError:
        return False
    return True
