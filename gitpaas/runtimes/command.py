"""What is executed for an instance, as an argument list: limits, sandbox, and the app's own command in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gitpaas.linux import Cgroup, Sandbox, sandbox
from gitpaas.values import InstanceSpec


def home(spec: InstanceSpec) -> str:
    """Where the app finds itself: /app inside a sandbox, the slug's own directory without one."""
    return spec.artifact.reference if spec.uid is None else "/app"


def command(
    spec: InstanceSpec, group: Cgroup | None, scratch: Path, pid_file: Path, record: Path, first: Sequence[str] = ()
) -> list[str]:
    """A Procfile line is a shell command by convention: the app's own words, in the app's own sandbox."""
    place = ("chdir", home(spec)) if spec.uid is None else _inside(spec, spec.uid, scratch)
    steps = (
        *first,
        *sandbox.joined(group),
        *("started", str(pid_file), str(record)),
        *sandbox.limits(spec.limits, spec.uid, group),
        *place,
    )
    return sandbox.launcher(["/bin/sh", "-c", spec.command], steps)


def _inside(spec: InstanceSpec, uid: int, scratch: Path) -> Sequence[str]:
    app, mounts = Path(spec.artifact.reference), spec.artifact.mounts
    return tuple(
        sandbox.inside(Sandbox(uid=uid, app=app, scratch=scratch, mounts=mounts, limits=spec.limits), home(spec))
    )
