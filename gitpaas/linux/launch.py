"""Builds the sandbox around its own process, gives up every right, and becomes the program.

Run as `python -I -S launch.py STEP ARGUMENTS... -- PROGRAM ARGUMENTS...`: the steps (STEPS, at the bottom) happen
in the order given. It starts as root and outside, so it must not be reached by anything of the app's: the app's
environment comes with every name prefixed (CARRIED), where no loader and no interpreter looks for it.
Few imports: each costs every start of an instance milliseconds.
"""

# No pathlib for that reason; and /tmp, open to all, is the sandbox's own.
# ruff: noqa: PTH101, PTH102, PTH103, PTH108, PTH110, PTH112, PTH114, PTH123, PTH211, S103, S108, S606

from __future__ import annotations

import ctypes
import os
import resource
import stat
import sys

CARRIED = "GITPAAS_CARRIED_"
_OWN = ("LC_CTYPE", "OLDPWD", "PWD", "SHLVL", "_")  # a shell and the interpreter set these themselves
FAILED = 125  # the sandbox could not be made; 126 and 127 are the program's own, as in a shell

# mount(2), unshare(2), prctl(2), capabilities(7)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CAPBSET_DROP, _SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_JOIN_SESSION_KEYRING = 1
_KEYCTL = {"x86_64": 250, "aarch64": 219}

# Where the new tree is put together: a mount point that every Linux has and that no app's files lie beneath.
_TOP = "/sys"
# The app's root is a directory of that tree, not its top: for a process in a chroot the kernel refuses new user
# namespaces (user_namespaces(7), EPERM), and with them a large way into the kernel.
_ROOT = f"{_TOP}/root"

_libc = ctypes.CDLL(None, use_errno=True)
_tell: list[int] = []  # where the starter listens for bad news; closed by a successful exec


def main(arguments: list[str]) -> int:
    end = arguments.index("--")
    try:
        environment = _environment()
        _carry_out(arguments[:end])
        _become(arguments[end + 1 :], environment)
    except (OSError, ValueError) as error:
        return _fail(error)
    return FAILED


def session() -> None:
    """A session and process group of its own."""
    os.setsid()


def ready() -> None:
    """Standard input is a pipe to the starter: it reads an error, or just the end once the program runs."""
    _tell.append(os.dup(0))  # not inherited by the program
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)


def cgroup(directory: str) -> None:
    with open(f"{directory}/cgroup.procs", "w") as procs:
        procs.write("0")


def started(path: str, record: str) -> None:
    """Leave pid and start time; go no further when the record is gone: then somebody has already cleaned up."""
    with open(path, "w") as file:
        file.write(f"{os.getpid()} {_start_time()}\n")
    if not os.path.exists(record):
        os.unlink(path)
        raise OSError("the start was called off")


def limit(name: str, value: str) -> None:
    which = getattr(resource, f"RLIMIT_{name}")
    _, highest = resource.getrlimit(which)
    wanted = int(value) if highest == resource.RLIM_INFINITY else min(int(value), highest)
    resource.setrlimit(which, (wanted, wanted))


def root() -> None:
    """Mounts, System V IPC and host name of our own, and an empty tree to fill."""
    os.umask(0o022)
    _call(_libc.unshare, _NEWNS | _NEWIPC | _NEWUTS)
    _mount(None, "/", None, _REC | _PRIVATE)
    _mount("tmpfs", _TOP, "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m")
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
        _mount(None, point, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def write(source: str, path: str) -> None:
    """Show a directory of the host, writable."""
    _bind(source, path)
    for point in _mounts_below(_ROOT + path):
        _mount(None, point, None, _REMOUNT | _BIND | _NOSUID | _NODEV)


def file(text: str, path: str) -> None:
    """A small file of our own over one of the host's. Where the host has none (or a link), it stays so."""
    if os.path.islink(_ROOT + path) or not os.path.exists(_ROOT + path):
        return
    source = f"{_TOP}/files/{path.replace('/', '-')}"
    with open(source, "w") as made:
        made.write(text)
    read(source, path)


def tmpfs(path: str, options: str) -> None:
    _mount("tmpfs", _place(path), "tmpfs", _NOSUID | _NODEV, options)


def tmp(scratch: str, path: str) -> None:
    """A temporary directory on the disk, for whoever is inside."""
    source = f"{scratch}/tmp"
    os.mkdir(source)
    os.chmod(source, 0o1777)
    write(source, path)


def overlay(lower: str, scratch: str, uid: str, path: str) -> None:
    """`lower` with the instance's own changes on top; they are kept in `scratch`, or in memory when that is empty."""
    # Bound to fixed names first: overlay's option string cannot carry every path.
    _mount(lower, f"{_TOP}/lower", None, _BIND)
    if scratch:
        _mount(scratch, f"{_TOP}/scratch", None, _BIND)
    if not scratch or not _overlay_on(path, int(uid)):
        # Not every file system can be the upper one: overlay itself (a container's root) cannot.
        _mount("tmpfs", f"{_TOP}/scratch", "tmpfs", _NOSUID | _NODEV, "mode=755")
        if not _overlay_on(path, int(uid)):
            raise OSError(ctypes.get_errno(), "overlayfs does not work here")
    for name in ("lower", "scratch"):
        _call(_libc.umount2, f"{_TOP}/{name}".encode(), _DETACH)


def proc(path: str) -> None:
    """Processes of other users are not even listed. hidepid=2 is how kernels before 5.8 say it."""
    flags, place = _NOSUID | _NODEV | _NOEXEC, _place(path)
    try:
        _mount("proc", place, "proc", flags, "hidepid=invisible")
    except OSError:
        _mount("proc", place, "proc", flags, "hidepid=2")


def dev(path: str, shm_options: str) -> None:
    """The devices every program may expect, and terminals and shared memory of its own."""
    tmpfs(path, "mode=755,size=64k")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        if os.path.exists(f"/dev/{name}"):
            _mount(f"/dev/{name}", _place(f"{path}/{name}", "file"), None, _BIND)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        link(f"/proc/self/{target}", f"{path}/{name}")
    options = "newinstance,ptmxmode=0666,mode=0620"
    _mount("devpts", _place(f"{path}/pts"), "devpts", _NOSUID | _NOEXEC, options)
    link("pts/ptmx", f"{path}/ptmx")
    tmpfs(f"{path}/shm", shm_options)
    _mount(None, _ROOT + path, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC)


def enter(uid: str, cwd: str) -> None:
    """Make the tree the root, let go of the old one and of every privilege."""
    _prefer_for_the_oom_killer()
    os.chdir(_TOP)
    _call(_libc.pivot_root, b".", b"old")
    os.chdir("/")
    _call(_libc.umount2, b"/old", _DETACH)
    _mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chroot("/root")
    os.chdir("/")
    _drop(int(uid))
    os.chdir(cwd)


def chdir(path: str) -> None:
    os.chdir(path)


def _carry_out(words: list[str]) -> None:
    rest = iter(words)
    for name in rest:
        step = STEPS[name]
        step(*(next(rest) for _ in range(step.__code__.co_argcount)))


def _become(program: list[str], environment: dict[str, str]) -> None:
    for number in range(1, 32):  # what the starter ignores (SIGPIPE, a shell's SIGINT) the program must not
        _libc.signal(number, None)
    keep = _tell[0] if _tell else 3  # exec closes it, and thereby says that all went well
    os.closerange(3, keep)
    os.closerange(keep + bool(_tell), 4096)
    os.execvpe(program[0], program, environment)


def _environment() -> dict[str, str]:
    names = [name for name in os.environ if name not in _OWN]
    if bare := [name for name in names if not name.startswith(CARRIED)]:
        raise ValueError(f"the environment must go through linux.carry(), and {bare[0]} did not")
    return {name.removeprefix(CARRIED): os.environ[name] for name in names}


def _fail(error: OSError | ValueError) -> int:
    text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
    message = f"cannot start: {text}\n"
    os.write(2, message.encode())
    for fd in _tell:
        os.write(fd, message.encode())
    return FAILED


def _call(function: ctypes._NamedFuncPointer, *arguments: object, about: str = "") -> int:
    result: int = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about or getattr(function, "__name__", ""))
    return result


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    about = f"{kind or 'mount'} {source or ''} {target}"
    _call(_libc.mount, *words, ctypes.c_ulong(flags), options.encode() or None, about=about)


def _bind(source: str, path: str) -> None:
    kind = "directory" if os.path.isdir(source) else "file"
    _mount(source, _place(path, kind), None, _BIND | _REC)


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
        _mount("overlay", _place(path), "overlay", _NOSUID | _NODEV, options)
    except OSError:
        return False
    return True


def _prefer_for_the_oom_killer() -> None:
    """When the whole machine runs out of memory an app goes before the server."""
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")


def _drop(uid: int) -> None:
    if number := _KEYCTL.get(os.uname().machine):
        _libc.syscall(number, _JOIN_SESSION_KEYRING, None)  # the server's session keyring stays behind
    for capability in range(64):
        if _prctl(_CAPBSET_DROP, capability) < 0:  # past the last one that this kernel knows
            break
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    _call(_libc.capset, header, nothing, about="capset")
    if _prctl(_SET_NO_NEW_PRIVS, 1) < 0:
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")


def _prctl(option: int, argument: int) -> int:
    result: int = _libc.prctl(option, *(ctypes.c_ulong(word) for word in (argument, 0, 0, 0)))
    return result


def _start_time() -> int:
    """As processes.start_time: ticks since boot, 0 where there is no /proc."""
    try:
        with open("/proc/self/stat", "rb") as text:
            return int(text.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


STEPS = {
    step.__name__: step
    for step in (
        session, ready, cgroup, started, limit,
        root, link, directory, read, write, file, tmpfs, tmp, overlay, proc, dev, enter, chdir,
    )
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
