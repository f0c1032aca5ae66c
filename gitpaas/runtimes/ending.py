"""Ending an instance: all of its processes, those it started and forgot included."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from gitpaas.errors import RuntimeFailed
from gitpaas.linux import Cgroup, Process, processes

_KILLED = 20.0  # seconds in which a SIGKILL must have worked, however busy the machine is


def end_all(
    first: Process | None,
    group: Cgroup | None,
    mark: str,
    grace: float,
    tmp: Path | None,
    number: signal.Signals = signal.SIGTERM,
) -> None:
    """SIGTERM (or another signal) to all, up to `grace` seconds, SIGKILL to what is left, until nothing is.

    Where there is no cgroup, `mark` ("NAME=value" in the environment) finds those that left the session, and `tmp`,
    the directory that is /tmp in a sandbox of its own, those that cleared their environment too. RuntimeFailed when
    something survives even SIGKILL (stuck in the kernel).
    """
    if grace > 0 and (members := _members(first, group, mark, tmp)):
        for process in members:
            processes.send(process, number)
        _await_end(first, group, mark, grace, tmp)
    deadline = time.monotonic() + _KILLED
    while members := _members(first, group, mark, tmp):
        if time.monotonic() > deadline:
            raise RuntimeFailed(f"Process {members[0].pid} does not end, not even by SIGKILL.")
        if group:
            group.forbid_forks()
        for process in members:
            processes.send(process, signal.SIGKILL)
        processes.wait_any(members, 0.1)


def _await_end(first: Process | None, group: Cgroup | None, mark: str, grace: float, tmp: Path | None) -> None:
    deadline = time.monotonic() + grace
    while (members := _members(first, group, mark, tmp)) and (left := deadline - time.monotonic()) > 0:
        processes.wait_any(members, left)


def _members(first: Process | None, group: Cgroup | None, mark: str, tmp: Path | None) -> list[Process]:
    if group:
        found = set(group.members())
    else:
        found = set(processes.marked(mark))
        found.update(processes.showing("/tmp", tmp) if tmp else ())  # noqa: S108  (as the sandbox names it)
        found.update(processes.session_members(first) if first else ())
    if first:
        found.add(first)  # where there is neither a cgroup nor /proc
    return [process for process in found if process.is_alive()]
