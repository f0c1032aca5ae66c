"""buildctl: its argument list, and its run as a child in a sandbox that shows it one tree and the daemon's socket.

It reads a tree whose author chose every name and link in it, and sends what it finds. So it runs as a user whom no
app has, with nothing in sight but that tree. Secrets come to it in its environment alone, each under a name of ours:
a config var called LD_PRELOAD must not act on it.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from gitpaas import linux, shell
from gitpaas.buildkit.job import Job
from gitpaas.buildkit.plan import SOCKET
from gitpaas.buildkit.settings import PLANS
from gitpaas.errors import CommandFailed, ToolFailed
from gitpaas.values import Limits, Mount

_SECRET = "SECRET_"  # noqa: S105  (before a config var's name in the environment of buildctl)
_LIMITS = Limits(memory=1 << 30, processes=512)

# Paths inside the sandbox; the tree is at /app.
_BUILDCTL, _RUN, _DEFINITION = "/buildctl", "/buildkit", "/definition"
DESK = "/desk"


@dataclass(frozen=True)
class Place:
    """Where buildctl runs. `desk` is a directory of `uid`'s own: for what it reads besides the tree, and the image."""

    buildctl: Path
    run: Path  # the directory of the daemon's socket
    desk: Path
    uid: int


def arguments(job: Job, output: str, *more: str) -> list[str]:
    """What buildctl is told, by the names that things have inside."""
    return [
        _BUILDCTL,
        f"--addr=unix://{_RUN}/{SOCKET}",
        "build",
        "--progress=rawjson",
        f"--frontend={job.frontend}",
        *(f"--opt={name}={value}" for name, value in sorted(job.options.items())),
        f"--local=context={_inside(job, job.context)}",
        f"--local=dockerfile={_inside(job, job.definition)}",
        *(f"--secret=id={name},env={_SECRET}{name}" for name in sorted(job.secrets)),
        f"--output={output}",
        *more,
    ]


def environment(job: Job, network: Mapping[str, str]) -> dict[str, str]:
    """What buildctl sees. `network`: proxies and certificates, for the registries that it logs in to."""
    secrets = {f"{_SECRET}{name}": value.reveal() for name, value in job.secrets.items()}
    return {**network, **secrets, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": DESK, "DOCKER_CONFIG": DESK}


def policy(job: Job, registry: str | None) -> dict[str, object]:
    """What no build may take: the images of other apps, which lie in a registry that the daemon may read. And no
    Dockerfile may be a plan, whose caches are named by whoever wrote it: those of other apps as well.

    A BuildKit source policy: sourcepolicy/pb/policy.proto."""
    denied = ["*/gitpaas/*"] if registry else []  # wherever: one registry answers to many names (localhost, 127.0.0.1)
    if job.frontend == "dockerfile.v0":
        denied.append(f"{PLANS}*")
    return {"rules": [{"action": "DENY", "selector": {"identifier": f"docker-image://{name}"}} for name in denied]}


def run(
    job: Job, argv: Sequence[str], env: Mapping[str, str], place: Place, timeout: float, on_line: Callable[[str], None]
) -> int:
    """Run it to the end, in the build's own group. Its exit code; CommandFailed after `timeout` seconds.

    Ended in whatever way, it takes its session along, and with that the daemon gives the build up."""
    mounts = (
        Mount(str(place.buildctl), _BUILDCTL),
        Mount(str(place.run), _RUN),
        Mount(str(place.desk), DESK, writable=True),
        *([] if job.definition.is_relative_to(job.tree) else [Mount(str(job.definition), _DEFINITION)]),
    )
    sandbox = linux.Sandbox(place.uid, job.tree, writable=True, mounts=mounts, limits=_LIMITS)
    group = linux.build_cgroup(job.tree)
    try:
        if group is not None:
            group.create(_LIMITS)
        return _finish(linux.confine(argv, sandbox, group=group), linux.carry(env), timeout, on_line)
    except OSError as error:
        raise ToolFailed(f"buildctl cannot be started: {error}") from error
    finally:
        linux.end_build(job.tree)


def _inside(job: Job, path: Path) -> str:
    """What a path of the job's is called in the sandbox."""
    return str(Path("/app", path.relative_to(job.tree))) if path.is_relative_to(job.tree) else _DEFINITION


def _finish(argv: Sequence[str], env: Mapping[str, str], timeout: float, on_line: Callable[[str], None]) -> int:
    """Its lines are JSON: shell.run would hand on parts of the long ones, and not all when they are many."""
    over = threading.Event()
    with _started(argv, env) as process:

        def end() -> None:
            over.set()
            process.kill()

        watch = threading.Timer(max(timeout, 0), end)
        watch.start()
        try:
            for line in cast(IO[bytes], process.stderr):
                on_line(line.decode("utf-8", "replace").rstrip("\n"))
        finally:
            watch.cancel()
            process.kill()
    if over.is_set():
        raise CommandFailed("buildctl was still running", code=shell.TIMED_OUT)
    return shell.exit_code(process.returncode)


def _started(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
