"""Processes by pid and start time, so that a pid given away again is never mistaken for the old one."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from gitpaas.descriptors import Waker

_PROC = Path("/proc")
_STAT = 4096  # bytes that are more than any stat has
_KILLS = 100
_POLL = 0.2  # seconds, where there are no pidfds


@dataclass(frozen=True)
class Process:
    """`started` is in clock ticks since boot, as the kernel counts; 0 where that cannot be known (no /proc)."""

    pid: int
    started: int

    def is_alive(self) -> bool:
        """Running, that is: not a zombie, and not another process with the same pid."""
        if not self.started:
            return _answers(self.pid)
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state not in "ZX"


def find(pid: int) -> Process | None:
    """The process that has this pid now."""
    stat = _stat(pid)
    return None if stat is None else Process(pid, stat.started)


def boot_id() -> str:
    """Another one after each boot; empty where the system has none."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def cgroups(process: Process) -> str:
    """What /proc says of its groups; nothing once it is gone."""
    with suppress(OSError):
        text = (_PROC / str(process.pid) / "cgroup").read_text()
        return text if process.is_alive() else ""
    return ""


def session_members(leader: Process) -> list[Process]:
    """All of the session that `leader` leads. None once it is gone: its number may lead another one by then."""
    if not leader.is_alive():
        return []
    members = [Process(pid, stat.started) for pid, stat in _all() if stat.session == leader.pid and stat.state != "Z"]
    return members if leader.is_alive() else []


def marked(mark: str) -> list[Process]:
    """All that were started with `mark` ("NAME=value") in their environment and that we may look at."""
    wanted = b"\0" + mark.encode() + b"\0"
    found = []
    for pid, stat in _all():
        with suppress(OSError):
            if wanted in b"\0" + (_PROC / str(pid) / "environ").read_bytes():
                found.append(Process(pid, stat.started))
    return found


def can_be_seen() -> bool:
    """Whether this system shows its processes at all."""
    return _PROC.is_dir()


def named(program: str) -> list[Process]:
    """All that run `program`, or a part of it ("git", "git-gc")."""
    found = []
    for pid, stat in _all():
        with suppress(OSError):
            name = (_PROC / str(pid) / "comm").read_text().strip()
            if name == program or name.startswith(f"{program}-"):
                found.append(Process(pid, stat.started))
    return found


def arguments(process: Process) -> list[bytes]:
    return _listed(process, "cmdline")


def variables(process: Process) -> list[bytes]:
    """ "NAME=value" of its environment, when we may look at it."""
    return _listed(process, "environ")


def place(process: Process) -> Path | None:
    """Its working directory, when we may look at it."""
    with suppress(OSError):
        return (_PROC / str(process.pid) / "cwd").readlink()
    return None


def showing(inside: str, outside: Path) -> list[Process]:
    """All whose sandbox shows the directory `outside` as `inside`: that can be neither left nor faked."""
    found = []
    with suppress(FileNotFoundError):
        wanted = outside.stat()
        for pid, stat in _all():
            with suppress(OSError):
                if os.path.samestat((_PROC / str(pid) / "root" / inside.lstrip("/")).stat(), wanted):
                    found.append(Process(pid, stat.started))
    return found


@dataclass(frozen=True)
class Taken:
    """What a process has: `ticks` of CPU time, its own and of the children that it has waited for; resident `pages`."""

    ticks: int
    pages: int


def taken(process: Process) -> Taken | None:
    stat = _stat(process.pid)
    return Taken(stat.ticks, stat.pages) if stat and stat.started == process.started else None


def sessions() -> dict[int, list[Process]]:
    """Every process of the machine, by the session that it is in."""
    found: dict[int, list[Process]] = {}
    for pid, stat in _all():
        found.setdefault(stat.session, []).append(Process(pid, stat.started))
    return found


def kill_showing(inside: str, outside: Path) -> None:
    """SIGKILL to all of these, until there are none (or one is stuck in the kernel)."""
    for _ in range(_KILLS):
        if not (left := showing(inside, outside)):
            return
        for process in left:
            send(process, signal.SIGKILL)
        time.sleep(0.01)


def send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this one. Gone already is fine."""
    with suppress(OSError):
        if not hasattr(os, "pidfd_open"):
            if process.is_alive():
                os.kill(process.pid, number)
            return
        fd = os.pidfd_open(process.pid)
        try:
            if process.is_alive():  # looked at after the fd was had: the fd cannot change its meaning any more
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


def wait_any(processes: Sequence[Process], timeout: float, waker: Waker | None = None) -> list[Process]:
    """Block until one of them ends, `waker` wakes it, or time is up. Those that ended."""
    with ExitStack() as stack:
        poll = select.poll()
        if waker is not None:
            poll.register(waker, select.POLLIN)
        watched = [_watch(poll, process, stack) for process in processes]
        deadline = time.monotonic() + timeout
        # Looked at after the fds were had: whatever ends later than this look wakes the poll.
        while not (ended := [process for process in processes if not process.is_alive()]):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            events = poll.poll(1000 * (left if all(watched) else min(left, _POLL)))
            if (waker is not None and waker.was_woken()) or (all(watched) and not events):
                break
    return ended


@dataclass(frozen=True)
class _Stat:
    state: str
    session: int
    ticks: int
    started: int
    pages: int


def _stat(pid: int) -> _Stat | None:
    """Fields 3, 6, 14 to 17, 22 and 24 of /proc/PID/stat (proc_pid_stat(5)); field 2, the name, may hold blanks and
    brackets."""
    words = _words(pid)
    if len(words) < 22:
        return None
    return _Stat(words[0], int(words[3]), sum(map(int, words[11:15])), int(words[19]), int(words[21]))


def _listed(process: Process, file: str) -> list[bytes]:
    with suppress(OSError):
        return (_PROC / str(process.pid) / file).read_bytes().split(b"\0")
    return []


def _words(pid: int) -> list[str]:
    """Without pathlib: every instance of the server is asked each second."""
    with suppress(OSError):
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _STAT).decode(errors="replace").rpartition(")")[2].split()
        finally:
            os.close(fd)
    return []


def _all() -> Iterator[tuple[int, _Stat]]:
    for path in _PROC.iterdir() if _PROC.is_dir() else ():
        if path.name.isdigit() and (stat := _stat(int(path.name))):
            yield int(path.name), stat


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _watch(poll: select.poll, process: Process, stack: ExitStack) -> bool:
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    except OSError:  # too many open files, or a kernel before 5.3
        return False
    stack.callback(os.close, fd)
    poll.register(fd, select.POLLIN)
    return True
