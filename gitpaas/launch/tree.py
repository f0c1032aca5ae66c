"""The file system inside a sandbox, put together mount by mount."""

from __future__ import annotations

import os
import stat
import time

from gitpaas.launch import kernel
from gitpaas.launch.kernel import BIND, NODEV, NOEXEC, NOSUID, PRIVATE, RDONLY, REC, REMOUNT

# Where it is put together: a mount point that every Linux has and that no app's files lie beneath.
_TOP = "/sys"
# The app's root is a directory of that tree, not its top: for a process in a chroot the kernel refuses new user
# namespaces (user_namespaces(7), EPERM), and with them a large way into the kernel.
_ROOT = f"{_TOP}/root"

_PATIENCE = 10.0  # seconds in which a process must have got into its tree


def root() -> None:
    """Namespaces of our own, and an empty tree to fill."""
    os.umask(0o022)
    kernel.unshare()
    kernel.mount(None, "/", None, REC | PRIVATE)
    kernel.mount("tmpfs", _TOP, "tmpfs", NOSUID | NODEV, "mode=755,size=1m")
    for name in ("root", "files", "lower", "scratch", "old"):
        os.mkdir(f"{_TOP}/{name}")


def link(target: str, path: str) -> None:
    os.symlink(target, _ROOT + path)


def directory(path: str) -> None:
    _place(path)


def read(source: str, path: str) -> None:
    """Show a file or directory of the host, read-only, with all that is mounted beneath it."""
    _bind(source, path)
    for point in _mounts_below(_ROOT + path):
        kernel.mount(None, point, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)


def write(source: str, path: str) -> None:
    """Show a directory of the host, writable."""
    _bind(source, path)
    for point in _mounts_below(_ROOT + path):
        kernel.mount(None, point, None, REMOUNT | BIND | NOSUID | NODEV)


def file(text: str, path: str) -> None:
    """A small file of our own over one of the host's. Where the host has none (or a link), it stays so."""
    if os.path.islink(_ROOT + path) or not os.path.exists(_ROOT + path):
        return
    source = f"{_TOP}/files/{path.replace('/', '-')}"
    with open(source, "w") as made:
        made.write(text)
    read(source, path)


def tmpfs(path: str, options: str) -> None:
    kernel.mount("tmpfs", _place(path), "tmpfs", NOSUID | NODEV, options)


def tmp(scratch: str, path: str) -> None:
    """A temporary directory on the disk, for whoever is inside."""
    source = f"{scratch}/tmp"
    os.makedirs(source, exist_ok=True)
    os.chmod(source, 0o1777)
    write(source, path)


def overlay(lower: str, scratch: str, uid: str, path: str) -> None:
    """`lower` with the instance's own changes on top; they are kept in `scratch`, or in memory when that is empty."""
    # Bound to fixed names first: overlay's option string cannot carry every path.
    kernel.mount(lower, f"{_TOP}/lower", None, BIND)
    if scratch:
        kernel.mount(scratch, f"{_TOP}/scratch", None, BIND)
    if not scratch or not _overlay_on(path, int(uid)):
        # Not every file system can be the upper one: overlay itself (a container's root) cannot.
        kernel.mount("tmpfs", f"{_TOP}/scratch", "tmpfs", NOSUID | NODEV, "mode=755")
        if not _overlay_on(path, int(uid)):
            raise OSError("overlayfs does not work here")
    for name in ("lower", "scratch"):
        kernel.unmount(f"{_TOP}/{name}")


def seal(path: str) -> None:
    """Nothing in what is mounted there can be changed any more; what is mounted beneath it stays as it is."""
    kernel.mount(None, _ROOT + path, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)


def proc(path: str) -> None:
    """Processes of other users are not even listed. hidepid=2 is how kernels before 5.8 say it."""
    flags, place = NOSUID | NODEV | NOEXEC, _place(path)
    try:
        kernel.mount("proc", place, "proc", flags, "hidepid=invisible")
    except OSError:
        kernel.mount("proc", place, "proc", flags, "hidepid=2")


def dev(path: str, shm_options: str) -> None:
    """The devices every program may expect, and terminals and shared memory of its own."""
    tmpfs(path, "mode=755,size=64k")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        if os.path.exists(f"/dev/{name}"):
            kernel.mount(f"/dev/{name}", _place(f"{path}/{name}", "file"), None, BIND)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        link(f"/proc/self/{target}", f"{path}/{name}")
    options = "newinstance,ptmxmode=0666,mode=0620"
    kernel.mount("devpts", _place(f"{path}/pts"), "devpts", NOSUID | NOEXEC, options)
    link("pts/ptmx", f"{path}/ptmx")
    tmpfs(f"{path}/shm", shm_options)
    kernel.mount(None, _ROOT + path, None, REMOUNT | BIND | RDONLY | NOSUID | NOEXEC)


def enter() -> None:
    """Make the tree the root and let go of the old one."""
    os.chdir(_TOP)
    kernel.pivot_root(".", "old")
    os.chdir("/")
    kernel.unmount("/old")
    kernel.mount(None, "/", None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)
    os.chroot("/root")
    os.chdir("/")


def join(pid: int, started: int, uid: int) -> None:
    """Into the tree (and the host name, and the IPC) of a process that runs, whose start time and user are known.

    It becomes that user once it is inside for good: before, what it sees is the host, and no place for an app."""
    deadline = time.monotonic() + _PATIENCE
    while not _is_only(pid, uid):
        if time.monotonic() > deadline or start_time(str(pid)) != started:
            raise OSError("it has ended, or is only just starting: try again")
        time.sleep(0.01)
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
    spaces = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in ("ipc", "uts", "mnt")]
    if start_time(str(pid)) != started:  # looked at after they were opened: they cannot become another's any more
        raise OSError("it has ended")
    for space in spaces:
        kernel.join(space)
        os.close(space)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)


def start_time(process: str) -> int:
    """As linux.Process.started: ticks since boot, 0 where there is no /proc."""
    try:
        with open(f"/proc/{process}/stat", "rb") as text:
            return int(text.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def _is_only(pid: int, uid: int) -> bool:
    """Whether it is this user by each of its four user ids, and so may be no other any more (proc_pid_status(5))."""
    try:
        with open(f"/proc/{pid}/status", "rb") as text:
            found = [line.split()[1:] for line in text if line.startswith(b"Uid:")]
    except OSError:
        return False
    return found == [[str(uid).encode()] * 4]


def _bind(source: str, path: str) -> None:
    kind = "directory" if os.path.isdir(source) else "file"
    kernel.mount(source, _place(path, kind), None, BIND | REC)


def _place(path: str, kind: str = "directory") -> str:
    """A mount point at `path` in the new tree, made if need be. Never through a link: an app's tree may hold some."""
    above = os.open(_ROOT, os.O_PATH)
    names = path.strip("/").split("/")
    for index, name in enumerate(names):
        is_directory = kind == "directory" or index < len(names) - 1
        try:
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            _make(name, above, is_directory)
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode) != is_directory:
            raise OSError(20, "not a directory of its own", path)
        below = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=above)
        os.close(above)
        above = below
    return f"/proc/self/fd/{above}"


def _make(name: str, above: int, is_directory: bool) -> None:
    if is_directory:
        os.mkdir(name, 0o755, dir_fd=above)
    else:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=above))


def _mounts_below(path: str) -> list[str]:
    """The mount at `path` and those beneath it (fifth field of /proc/self/mountinfo, proc_pid_mountinfo(5))."""
    with open("/proc/self/mountinfo", "rb") as table:
        points = [_unescape(line.split(b" ")[4]) for line in table]
    return [point for point in points if point == path or point.startswith(path + "/")]


def _unescape(text: bytes) -> str:
    for code in (b"040", b"011", b"012", b"134"):
        text = text.replace(b"\\" + code, bytes([int(code, 8)]))
    return os.fsdecode(text)


def _overlay_on(path: str, uid: int) -> bool:
    for name in ("upper", "work"):
        os.makedirs(f"{_TOP}/scratch/{name}", exist_ok=True)
    os.chown(f"{_TOP}/scratch/upper", uid, uid)
    options = f"lowerdir={_TOP}/lower,upperdir={_TOP}/scratch/upper,workdir={_TOP}/scratch/work"
    try:
        kernel.mount("overlay", _place(path), "overlay", NOSUID | NODEV, options)
    except OSError:
        return False
    return True
