"""Instances as containers: what the engine knows of them is all there is to know."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine.networks import Networks
from gitpaas.errors import EngineFailed, RuntimeFailed
from gitpaas.output import Terminal
from gitpaas.runtimes import Attached, entered
from gitpaas.runtimes.docker import abilities, attached, copies, entering, names, one_off, said, usage, volumes
from gitpaas.runtimes.docker.exits import Exits
from gitpaas.runtimes.docker.follower import Follower
from gitpaas.runtimes.docker.orphans import Orphans
from gitpaas.runtimes.docker.reaching import Finder
from gitpaas.runtimes.docker.starting import Starter
from gitpaas.runtimes.docker.view import View
from gitpaas.runtimes.tail import last_lines
from gitpaas.values import Instance, InstanceSpec, Reach, Survey, Usage

_log = logging.getLogger(__name__)

_GONE = 10.0  # seconds in which it removes what has ended
_LAST_WORDS = 5.0  # seconds that what it wrote last gets to arrive in its file
_CONFLICT = 409


class DockerRuntime:
    """Knows nothing by heart: every answer is read from the engine's labels."""

    name = "docker"

    def __init__(self, config: Config, *, published: bool | None = None) -> None:
        """`published`: instances are reached through ports of this machine's loopback; None finds that out."""
        self._config = config
        self._engine = Engine(config)
        self._starter = Starter(config, self._engine, published)
        self._view = View(config, self._engine)
        self._finder = Finder(config, self._engine)
        self._exits = Exits(self._engine, lambda: {i.id for i in self.running() if i.state == "exited"})
        self._follower = Follower(config, self._engine, self._view, Orphans(config, self._engine, self._starter))
        self._is_silent = False

    def start(self, spec: InstanceSpec) -> Instance:
        if spec.artifact.kind != "image":
            raise RuntimeFailed(f"{spec.app} v{spec.release} is no image.", f"Build it again: ps:rebuild {spec.app}")
        with self._starter.started(spec) as started:
            instance = self._view.find(started.key)
            if instance is None:
                raise RuntimeFailed(f"{spec.process}.{spec.number} of {spec.app} was removed while it started.")
            return instance

    def stop(self, instance: Instance, grace: float) -> None:
        container = names.container(instance.id)
        with self._engine.calls(f"stopping {instance.label} of {instance.app}", missing_ok=True):
            self._engine.api.stop(container, timeout=math.ceil(grace))
        with copies.held(self._config, instance.id, _LAST_WORDS) as mark:
            if mark is not None:
                self._copy_last_words(instance, mark)
            self._remove(container)
            if mark is not None:
                mark.unlink(missing_ok=True)
        self._finder.forget(instance.id)

    def running(self, app: str | None = None) -> list[Instance]:
        instances = self._view.instances(app)
        if app is None:
            entered.sweep(self._config)
            self._finder.keep({instance.id for instance in instances})
        return instances

    def survey(self, app: str | None = None) -> Survey:
        try:
            seen = tuple(self.running(app))
        except EngineFailed as error:
            if not self._is_silent:
                _log.warning("%s; what runs there is left alone", error.message)
            self._is_silent = True
            return Survey((), frozenset({"image"}))
        self._is_silent = False
        return Survey(seen)

    def run(self, spec: InstanceSpec, on_line: Callable[[str], None], timeout: float) -> int:
        return one_off.run(self._engine, self._starter, spec, on_line, timeout)

    def open(self, spec: InstanceSpec, terminal: Terminal | None) -> AbstractContextManager[Attached]:
        return attached.opened(self._engine, self._starter, spec, terminal, self._config.stop_grace)

    def enter(
        self, instance: Instance, spec: InstanceSpec, terminal: Terminal | None
    ) -> AbstractContextManager[Attached]:
        return entering.opened(self._config, self._engine, instance, spec, terminal)

    def reach(self, instance: Instance) -> Reach:
        try:
            return self._finder.reach(instance)
        except EngineFailed as error:
            return Reach(instance.address, note=error.message)

    def output(self, instance: Instance, lines: int) -> tuple[str, ...]:
        found = said.last_lines(self._engine, names.container(instance.id), lines)
        return last_lines(instance.log, lines) if found is None else found

    def usage(self, instances: Sequence[Instance]) -> dict[str, Usage]:
        """From the kernel: the engine (20.10) takes a second for each container. None of one on another machine."""
        taken = {}
        for instance in instances:
            try:
                found = usage.of_container(self._engine, names.container(instance.id))
            except EngineFailed as error:
                _log.debug("%s", error.message)
                break
            if found:
                taken[instance.id] = found
        return taken

    def attend(self) -> AbstractContextManager[None]:
        return self._follower.running()

    def forget(self, app: str) -> None:
        Networks(self._engine, self._config).forget(app)
        volumes.remove_all(self._engine, app)

    def volumes(self, app: str) -> list[str]:
        return volumes.names(self._engine, app)

    def remove_volume(self, app: str, name: str) -> None:
        volumes.remove(self._engine, app, name)

    def wait_for_exit(self, timeout: float) -> bool:
        return self._exits.wait(timeout)

    def wake(self) -> None:
        self._exits.wake()

    def missing(self) -> list[str]:
        return abilities.missing(self._engine)

    def _copy_last_words(self, instance: Instance, mark: Path) -> None:
        """An instance goes even if they cannot be had: the disk may be full."""
        if instance.log is None:
            return
        try:
            copies.copy_all(self._engine, instance.id, instance.log, mark, _LAST_WORDS)
        except (EngineFailed, OSError) as error:
            if getattr(error, "status", None) != 404:
                _log.warning("the last output of %s is lost: %s", instance.id, error)

    def _remove(self, container: str) -> None:
        """Gone when this returns, whoever else removes it at the same time."""
        deadline = time.monotonic() + _GONE
        while True:
            try:
                with self._engine.calls(f"removing {container}", missing_ok=True):
                    self._engine.api.remove_container(container, v=True, force=True)
                return
            except EngineFailed as error:
                if error.status != _CONFLICT or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
