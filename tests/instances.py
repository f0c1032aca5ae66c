"""Instances to start in tests: a slug, a spec, and a runtime that leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gitpaas import linux
from gitpaas.config import Config
from gitpaas.runtimes import Runtime
from gitpaas.runtimes.host import HostRuntime
from gitpaas.values import Artifact, Instance, InstanceSpec, Limits, Mount

UID = 58765  # of no app: far above what a test machine has
MEGABYTE = 1024 * 1024
PREFIX = Path(sys.executable).resolve().parents[1]
PYTHON = str(Path(sys.executable).resolve())


@dataclass
class Host:
    """A runtime and slugs to start; `uid` None runs them unconfined."""

    runtime: Runtime
    config: Config
    slugs: Path
    uid: int | None

    def slug(self, name: str = "demo", **files: str) -> Path:
        path = self.slugs / name
        path.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (path / file.replace("__", ".")).write_text(text)
        return path

    def spec(self, command: str, **values: object) -> InstanceSpec:
        slug = self.slug(str(values.get("app", "demo")))
        mounts = () if str(PREFIX).startswith("/usr") else (Mount(str(PREFIX), str(PREFIX)),)
        usual = {
            "app": "demo",
            "release": 1,
            "process": "web",
            "number": 1,
            "command": command,
            "artifact": Artifact("slug", str(slug), "slug", "test", {}, mounts=mounts),
            "env": {},
            "uid": self.uid,
            "limits": Limits(256 * MEGABYTE, 64, 1024),
            "listens": False,
        }
        return InstanceSpec(**(usual | values))  # type: ignore[arg-type]

    def start(self, command: str, **values: object) -> Instance:
        return self.runtime.start(self.spec(command, **values))

    def now(self, instance: Instance) -> Instance:
        return next(i for i in self.runtime.running() if i.id == instance.id)

    def ended(self, instance: Instance) -> Instance:
        until(lambda: self.now(instance).state == "exited")
        return self.now(instance)

    def traces(self) -> list[str]:
        """What of all instances is left on the disk, logs aside."""
        folders = (self.config.run / "instances", self.config.run / "scratch")
        return [str(path) for folder in folders if folder.exists() for path in folder.iterdir()]


@contextmanager
def host(config: Config, uid: int | None) -> Iterator[Host]:
    """Whatever the test leaves running is stopped at its end, and that must leave no trace."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Host(HostRuntime(config), config, config.home / "slugs", uid)
    try:
        yield made
    finally:
        for instance in made.runtime.running():
            made.runtime.stop(instance, grace=0)
    assert made.traces() == []


def python(code: str) -> str:
    """A shell command that runs this code with the interpreter of the tests."""
    return f"exec {PYTHON} -I -S -u -c {shlex.quote(code)}"


def output(instance: Instance, wanted: str = "", timeout: float = 5) -> str:
    """The instance's log so far, once `wanted` is in it."""
    assert instance.log is not None
    log = instance.log
    until(lambda: wanted in log.read_text(), timeout=timeout, told=lambda: log.read_text())
    return log.read_text()


def until(condition: Callable[[], object], timeout: float = 5, told: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {timeout} s: {told()}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    found = linux.processes.find(pid)
    return found is not None and found.is_alive()


def own_uid() -> int | None:
    """How this machine's server would run apps."""
    return UID if os.geteuid() == 0 and linux.can_confine() else None
