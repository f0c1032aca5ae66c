"""What a sandbox holds, as the argument list that makes it. The work is done by launch, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from gitpaas import launch
from gitpaas.linux.cgroups import Cgroup
from gitpaas.values import Limits, Mount

_PACKAGES = str(Path(launch.__file__).parents[2])
_SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr")
_EMPTY = ("/home", "/root", "/run", "/var/empty", "/var/lib", "/var/log")
_OPEN_TO_ALL = 0o001


@dataclass(frozen=True)
class Sandbox:
    """One root file system for one program: the system read-only, `app` at /app, `mounts`, and nothing else.

    Unless `writable`, changes beneath /app are the program's own and vanish with `scratch` (a directory on the
    disk that the caller makes and removes; with None they are kept in memory); when `sealed` there can be none.
    /tmp is there as well.
    """

    uid: int
    app: Path
    writable: bool = False
    sealed: bool = False
    scratch: Path | None = None
    mounts: tuple[Mount, ...] = ()
    limits: Limits = field(default_factory=Limits)


def confine(argv: Sequence[str], sandbox: Sandbox, cwd: str = "/app", *, group: Cgroup | None = None) -> list[str]:
    """The argument list that runs `argv` inside. Its environment must go through `carry`.

    With `group` memory and processes are limited by that, else as well as rlimits can.
    """
    return launcher(argv, [*joined(group), *inside(sandbox, cwd), *limits(sandbox.limits, sandbox.uid, group)])


def carry(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a confined program, in names that mean nothing to those who start it.

    The sandbox is made as root and outside; an LD_PRELOAD among an app's config vars must not act there.
    """
    return {launch.CARRIED + name: value for name, value in env.items()}


def launcher(argv: Sequence[str], steps: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", launch.START, _PACKAGES, *steps, "--", *argv]


@cache
def can_confine() -> bool:
    """Root on a Linux that lets us make mount namespaces, overlays and all: tried once, for real."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    argv = confine(["/bin/sh", "-c", ":"], Sandbox(uid=65534, app=Path("/usr")))
    return subprocess.run(argv, env={}, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def joined(group: Cgroup | None) -> Iterator[str]:
    for path in group.paths if group else ():
        yield from ("cgroup", str(path))


def limits(wanted: Limits, uid: int | None, group: Cgroup | None) -> Iterator[str]:
    """rlimits: all there is of limits without a cgroup. `uid` None: the user's own, other things run as it too."""
    yield from ("limit", "CORE", "0")
    if wanted.files is not None:
        yield from ("limit", "NOFILE", str(wanted.files))
    if wanted.processes is not None and group is None and uid is not None:
        yield from ("limit", "NPROC", str(wanted.processes))
    if wanted.memory is not None and group is None:
        # Counts what is reserved, not what is used, and threads and collectors reserve generously.
        yield from ("limit", "DATA", str(2 * wanted.memory))


def inside(sandbox: Sandbox, cwd: str) -> Iterator[str]:
    """The steps of launch that make the sandbox and enter it."""
    size = "" if sandbox.limits.memory is None else f",size={sandbox.limits.memory}"
    yield "root"
    yield from _system()
    yield from _accounts(sandbox.uid)
    yield from ("proc", "/proc", "dev", "/dev", f"mode=1777{size}")
    yield from ("tmp", str(sandbox.scratch), "/tmp") if sandbox.scratch else ("tmpfs", "/tmp", f"mode=1777{size}")  # noqa: S108
    yield from ("directory", "/var", "link", "/tmp", "/var/tmp")  # noqa: S108
    if sandbox.writable:
        yield from ("write", str(sandbox.app), "/app")
    else:
        yield from ("overlay", str(sandbox.app), str(sandbox.scratch or ""), str(sandbox.uid), "/app")
    yield from _mounts(sandbox.mounts)
    if sandbox.sealed:
        yield from ("seal", "/app")
    for path in _EMPTY:
        yield from ("directory", path)
    yield from ("enter", str(sandbox.uid), "chdir", cwd)


def _system() -> Iterator[str]:
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():  # /bin -> usr/bin
            yield from ("link", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("read", str(path), str(path))
    yield from _resolver(Path("/etc/resolv.conf"))


def _resolver(path: Path) -> Iterator[str]:
    """/etc/resolv.conf is often a link into /run, to a file that is replaced when the network changes."""
    real = path.resolve()
    if not real.is_file() or _is_shown(real):
        return
    own_directory = len(real.parts) > 3  # /run/systemd/resolve/stub-resolv.conf, but not /run/resolv.conf
    source = real.parent if own_directory else real
    yield from ("read", str(source), str(source))


def _is_shown(path: Path) -> bool:
    return any(path.is_relative_to(Path("/", name).resolve()) for name in _SYSTEM)


def _accounts(uid: int) -> Iterator[str]:
    """The app's user has a name and a home; those of the host are nobody's business."""
    passwd = f"root:x:0:0:root:/root:/usr/sbin/nologin\napp:x:{uid}:{uid}:app:/app:/bin/sh\n"
    yield from ("file", passwd + "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n", "/etc/passwd")
    yield from ("file", f"root:x:0:\ntty:x:5:\napp:x:{uid}:\nnogroup:x:65534:\n", "/etc/group")


def _mounts(mounts: Sequence[Mount]) -> Iterator[str]:
    hidden: set[Path] = set()
    for mount in sorted(mounts, key=lambda mount: len(Path(mount.target).parts)):
        target = Path(mount.target)
        if _is_shown(target):
            if mount.source == mount.target and not mount.writable and not _private_above(target):
                continue  # an interpreter in /usr or /opt is there already
            if (private := _private_above(target)) and private not in hidden:
                hidden.add(private)
                yield from ("tmpfs", str(private), "mode=755,size=1m")
        yield from ("write" if mount.writable else "read", mount.source, mount.target)


def _private_above(target: Path) -> Path | None:
    """The highest directory above `target` that only its owner may pass (a state directory in /opt, say)."""
    for path in reversed(target.parents):
        if path.is_dir() and not path.stat().st_mode & _OPEN_TO_ALL:
            return path
    return None
