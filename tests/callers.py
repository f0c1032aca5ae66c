"""Running commands as somebody with a key (or the operator) would, and seeing what they would see."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fakes import MemoryRouter

from gitpaas import commands, platform, store
from gitpaas.config import Config
from gitpaas.output import Console
from gitpaas.platform import Platform
from gitpaas.values import Actor, Instance, InstanceSpec, Reach, Role, Survey, Usage

OPERATOR = Actor("operator", "admin")


class QuietRuntime:
    """Runs nothing; shows the instances that a test puts into `instances`."""

    name = "quiet"

    def __init__(self) -> None:
        self.instances: list[Instance] = []
        self.stopped: list[Instance] = []
        self.unseen: frozenset[str] = frozenset()
        self.kept: list[str] = []  # volumes
        self.usages: list[Usage] = []  # what usage() finds, one an instance

    def start(self, spec: InstanceSpec) -> Instance:
        raise AssertionError(f"{spec.process} should not start in this test")

    def stop(self, instance: Instance, grace: float) -> None:
        self.stopped.append(instance)
        self.instances.remove(instance)

    def running(self, app: str | None = None) -> list[Instance]:
        return [instance for instance in self.instances if app in (None, instance.app)]

    def survey(self, app: str | None = None) -> Survey:
        return Survey(tuple(self.running(app)), self.unseen)

    def run(self, spec: InstanceSpec, on_line: Callable[[str], None], timeout: float) -> int:
        return 0

    def reach(self, instance: Instance) -> Reach:
        return Reach(instance.address)

    def output(self, instance: Instance, lines: int) -> tuple[str, ...]:
        return ()

    def usage(self, instances: Sequence[Instance]) -> dict[str, Usage]:
        return {one.id: self.usages.pop(0) for one in instances if self.usages}

    def forget(self, app: str) -> None:
        return None

    def volumes(self, app: str) -> list[str]:
        return self.kept

    def remove_volume(self, app: str, name: str) -> None:
        self.kept.remove(name)

    def missing(self) -> list[str]:
        return []


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Caller:
    """`caller("apps", "create", "hello")` over SSH with a key of this role, or at the machine itself."""

    platform: Platform
    actor: Actor = OPERATOR
    width: int = 100
    stdin: bytes = b""
    tty: bool = False
    gone: threading.Event = field(default_factory=threading.Event)
    shown: list[str] = field(default_factory=list)  # by the call under way, so far

    def __call__(self, *argv: str, stdin: bytes = b"") -> Answer:
        self.shown = out = []
        err: list[str] = []
        console = Console(out.append, err.append, lambda: stdin, self.gone.is_set, self.width, self.tty)
        code = commands.execute(self.platform, list(argv), self.actor, console)
        return Answer(code, "".join(out), "".join(err))

    def over_ssh(self, role: Role | None, **grants: Role) -> Caller:
        """Alice, with this role for all apps and these by the app."""
        return replace(self, actor=Actor("alice", role, key="laptop", address="192.0.2.7", grants=grants))

    def narrow(self, width: int) -> Caller:
        return replace(self, width=width)


def quiet_platform(config: Config) -> Platform:
    """A real state directory and database; a runtime and a router that only remember."""
    platform.prepare(config)
    opened = store.connect(config.database, config.secret_key)
    return Platform(config, opened, QuietRuntime(), MemoryRouter())
