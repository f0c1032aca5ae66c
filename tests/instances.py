"""Instances to start in tests: an artifact, a spec, and a runtime that leaves nothing behind."""

from __future__ import annotations

import gc
import os
import secrets
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import processes
import users

from gitpaas import linux
from gitpaas.config import Config
from gitpaas.runtimes import Runtime
from gitpaas.runtimes.host import HostRuntime
from gitpaas.values import Artifact, Instance, InstanceSpec, Limits, Mount

UID = users.RUNS
PATIENCE = 60.0  # seconds for what must come: a busy machine takes its time
MEGABYTE = 1024 * 1024
PREFIX = Path(sys.executable).resolve().parents[1]
PYTHON = str(Path(sys.executable).resolve())
SERVER = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write({text!r}.encode())

HTTPServer(("{bind}", int(os.environ["PORT"])), Answer).serve_forever()
"""


@dataclass
class There:
    """A runtime and what tests start in it. What differs between runtimes is a method of the classes below."""

    runtime: Runtime
    config: Config
    uid: int | None = None  # None: the runtime's own choice

    def spec(self, command: str, **values: object) -> InstanceSpec:
        usual = {
            "app": "demo",
            "release": 1,
            "process": "web",
            "number": 1,
            "command": command,
            "artifact": self.artifact(str(values.get("app", "demo"))),
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

    def said(self, command: str, **values: object) -> str:
        """All output of a command that ends by itself, its errors too; nothing of it is left."""
        instance = self.ended(self.start(command, **values))
        self.runtime.stop(instance, grace=0)
        assert instance.log is not None
        return instance.log.read_text() if instance.log.exists() else ""

    def again(self) -> Runtime:
        """Another object of the same runtime, as another process would have."""
        raise NotImplementedError

    def artifact(self, app: str = "demo") -> Artifact:
        raise NotImplementedError

    def gone(self) -> Artifact:
        """One that is not there any more."""
        raise NotImplementedError

    def python(self, code: str) -> str:
        """A shell command that runs this code."""
        raise NotImplementedError

    def server(self, text: str) -> str:
        """A shell command that answers every GET with this text, where the platform expects it."""
        raise NotImplementedError

    def traces(self) -> list[str]:
        """What of all instances is left, logs aside."""
        raise NotImplementedError


@dataclass
class Host(There):
    """Slugs; `uid` None runs them unconfined."""

    @property
    def slugs(self) -> Path:
        return self.config.all_slugs

    def slug(self, name: str = "demo", **files: str) -> Path:
        path = self.slugs / name
        path.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (path / file.replace("__", ".")).write_text(text)
        return path

    def again(self) -> Runtime:
        return HostRuntime(self.config)

    def artifact(self, app: str = "demo") -> Artifact:
        mounts = () if str(PREFIX).startswith("/usr") else (Mount(str(PREFIX), str(PREFIX)),)
        return Artifact("slug", str(self.slug(app)), "slug", "test", {}, mounts=mounts)

    def gone(self) -> Artifact:
        return Artifact("slug", str(self.slugs / "gone"), "slug", "", {})

    def python(self, code: str) -> str:
        return python(code)

    def server(self, text: str) -> str:
        return python(SERVER.format(bind="127.0.0.1", text=text))

    def traces(self) -> list[str]:
        folders = (self.config.run / "instances", self.config.run / "scratch")
        return [str(path) for folder in folders if folder.exists() for path in folder.iterdir()]


@contextmanager
def host(config: Config, uid: int | None) -> Iterator[Host]:
    """Whatever the test leaves running is stopped at its end, and that must leave no trace."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Host(HostRuntime(config), config, uid)
    try:
        yield made
    finally:
        stop_all(made)
    assert made.traces() == []


def stop_all(there: There) -> None:
    for instance in there.runtime.running():
        there.runtime.stop(instance, grace=0)


def python(code: str) -> str:
    """A shell command that runs this code with the interpreter of the tests."""
    return f"exec {PYTHON} -I -S -u -c {shlex.quote(code)}"


def output(instance: Instance, wanted: str = "", timeout: float = PATIENCE) -> str:
    """The instance's log so far, once `wanted` is in it."""
    assert instance.log is not None
    log = instance.log

    def text() -> str:
        return log.read_text() if log.exists() else ""

    until(lambda: wanted in text(), timeout=timeout, told=text)
    return text()


def until(condition: Callable[[], object], timeout: float = PATIENCE, told: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {timeout} s: {told()}"
        time.sleep(0.01)


def flood_watchers() -> list[threading.Thread]:
    """Those of collectors that were dropped in the middle of a flood go with these, when they are collected."""
    found = [thread for thread in threading.enumerate() if thread.name == "floods"]
    if found:
        gc.collect()
    return found


class Sleeper:
    """A command that sleeps, and whether any process of this machine still does."""

    def __init__(self) -> None:
        self._seconds = f"600.{secrets.randbelow(10**10):010}"

    def __str__(self) -> str:
        return f"sleep {self._seconds}"

    @property
    def is_alive(self) -> bool:
        return bool(processes.with_arguments("sleep", self._seconds))

    def end(self) -> None:
        """Once it has begun."""
        until(lambda: self.is_alive)
        for pid in processes.with_arguments("sleep", self._seconds):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def is_alive(pid: int) -> bool:
    found = linux.processes.find(pid)
    return found is not None and found.is_alive()


def own_uid() -> int | None:
    """How this machine's server would run apps."""
    return UID if os.geteuid() == 0 and linux.can_confine() else None
