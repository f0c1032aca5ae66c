"""Where the kernel shows control groups, and in which of them ours are made: tried once, for real.

Layout: one group per instance, `gitpaas.<name>`, directly in the highest group that we may use. For root that is the
top (as Docker does it), for a service with Delegate=yes its own, for a user the part systemd gave to that user.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gitpaas.linux import processes
from gitpaas.linux.cgroups import Cgroup, Version, procs, read, remove_group, try_write

_NEEDED = ("memory", "pids")
_WELCOME = ("cpu", "cpuacct")  # used where there are: the one limits, the other counts (v2 counts always)
_PREFIX = "gitpaas."


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
    return _WELCOME[0] in read(place.paths[0] / "cgroup.subtree_control").split()


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
    lines = read(Path("/proc/self/mountinfo")).splitlines()
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
    for line in read(Path("/proc/self/mountinfo")).splitlines():
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
    lines = [line.split(":", 2) for line in read(Path(f"/proc/{process or 'self'}/cgroup")).splitlines()]
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
        remove_group(probe)


def _hands_down(parent: Path, own: Path) -> bool:
    """Whether groups made in `parent` get the controllers; turns them on where that is ours to do."""
    if not set(_NEEDED) <= set(read(parent / "cgroup.controllers").split()):
        return False
    if _turn_on(parent):
        return True
    # A group with processes of its own hands nothing down ("no internal processes"): ours move one floor below.
    return parent == own and _move_below(parent) and _turn_on(parent)


def _turn_on(parent: Path) -> bool:
    """The controllers we need, for the groups below; and the one that is welcome, if this machine has it."""
    control = parent / "cgroup.subtree_control"
    on = set(read(control).split())
    if not set(_NEEDED) <= on and not try_write(control, " ".join(f"+{name}" for name in _NEEDED)):
        return False
    if _WELCOME[0] not in on:
        try_write(control, f"+{_WELCOME[0]}")
    return True


def _move_below(parent: Path) -> bool:
    server = parent / f"{_PREFIX}server"
    try:
        server.mkdir(exist_ok=True)
    except OSError:
        return False
    moved = [try_write(server / "cgroup.procs", pid) for pid in procs(parent)]
    return all(moved)
