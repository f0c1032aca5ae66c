"""What is executed for an instance, as an argument list: limits, sandbox, and the app's own command in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gitpaas.linux import Cgroup, Process, Sandbox, sandbox
from gitpaas.values import InstanceSpec, Mount

_COMPOUND = re.compile(r"[;&|()`\r\n]")
# What is the shell's own and cannot be executed: keywords and built-ins (POSIX, XCU 2.4, 2.14 and 1.6).
_SHELLS_OWN = (
    "!", ".", ":", "[", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "echo", "eval",
    "exec", "exit", "export", "false", "fc", "fg", "for", "function", "getopts", "hash", "if", "jobs", "kill",
    "local", "newgrp", "printf", "pwd", "read", "readonly", "return", "select", "set", "shift", "source",
    "test", "time", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "until", "wait",
    "while", "{",
)  # fmt: skip


def home(spec: InstanceSpec) -> str:
    """Where the app finds itself: /app inside a sandbox, the slug's own directory without one."""
    return spec.artifact.reference if spec.uid is None else "/app"


def command(
    spec: InstanceSpec,
    group: Cgroup | None,
    scratch: Path,
    pid_file: Path,
    record: Path,
    first: Sequence[str] = (),
    volumes: Sequence[Mount] = (),
    last: Sequence[str] = (),
) -> list[str]:
    """A Procfile line is a shell command by convention: the app's own words, in the app's own sandbox."""
    place = ("chdir", home(spec)) if spec.uid is None else _inside(spec, spec.uid, scratch, volumes)
    steps = (
        *first,
        *sandbox.joined(group),
        *("started", str(pid_file), str(record)),
        *place,
        *sandbox.limits(spec.limits, spec.uid, group),
        *last,
    )
    return sandbox.launcher(["/bin/sh", "-c", shell_line(spec.command)], steps)


def joining(
    spec: InstanceSpec, group: Cgroup | None, process: Process, first: Sequence[str], last: Sequence[str]
) -> list[str]:
    """One more command where `process` runs, which is an instance's first: same group, sandbox, user and limits."""
    place = () if spec.uid is None else ("join", str(process.pid), str(process.started), str(spec.uid))
    limits = sandbox.limits(spec.limits, spec.uid, group)
    steps = (*first, *sandbox.joined(group), *place, "chdir", home(spec), *limits, *last)
    return sandbox.launcher(["/bin/sh", "-c", shell_line(spec.command)], steps)


def shell_line(line: str) -> str:
    """A single program takes the shell's place: one process less, and signals and exit code are its own."""
    first = (line.split() or [""])[0]
    is_simple = re.match(r"[\w./-]", first) and "=" not in first and first not in _SHELLS_OWN
    return f"exec {line}" if is_simple and not _COMPOUND.search(line) else line


def _inside(spec: InstanceSpec, uid: int, scratch: Path, volumes: Sequence[Mount]) -> Sequence[str]:
    place = Sandbox(
        uid=uid,
        app=Path(spec.artifact.reference),
        sealed=spec.options.read_only,
        scratch=scratch,
        mounts=(*spec.artifact.mounts, *volumes),
        limits=spec.limits,
    )
    return tuple(sandbox.inside(place, home(spec)))
