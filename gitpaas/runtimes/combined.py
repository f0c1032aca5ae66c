"""Two runtimes as one: slugs run as processes of the host, images in the engine."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from gitpaas.output import Terminal
from gitpaas.runtimes import Attached, Runtime
from gitpaas.runtimes.docker import DockerRuntime
from gitpaas.runtimes.host import HostRuntime
from gitpaas.values import Instance, InstanceSpec, Reach, Survey, Usage

_log = logging.getLogger(__name__)

_LONG = 60.0  # seconds


class CombinedRuntime:
    """What each of them starts is told by the kind of the artifact, and afterwards by the instance itself."""

    name = "docker"

    def __init__(self, host: HostRuntime, docker: DockerRuntime) -> None:
        self._host = host
        self._docker = docker
        self._ended = threading.Event()  # something in the engine, since the last wait
        self._watcher: threading.Thread | None = None

    def start(self, spec: InstanceSpec) -> Instance:
        return self._by_kind(spec).start(spec)

    def stop(self, instance: Instance, grace: float) -> None:
        self._of(instance).stop(instance, grace)

    def running(self, app: str | None = None) -> list[Instance]:
        return _in_order([*self._host.running(app), *self._docker.running(app)])

    def survey(self, app: str | None = None) -> Survey:
        theirs = self._docker.survey(app)
        return Survey(tuple(_in_order([*self._host.running(app), *theirs.instances])), theirs.unseen)

    def run(self, spec: InstanceSpec, on_line: Callable[[str], None], timeout: float) -> int:
        return self._by_kind(spec).run(spec, on_line, timeout)

    def open(self, spec: InstanceSpec, terminal: Terminal | None) -> AbstractContextManager[Attached]:
        return self._by_kind(spec).open(spec, terminal)

    def enter(
        self, instance: Instance, spec: InstanceSpec, terminal: Terminal | None
    ) -> AbstractContextManager[Attached]:
        return self._of(instance).enter(instance, spec, terminal)

    def reach(self, instance: Instance) -> Reach:
        return self._of(instance).reach(instance)

    def output(self, instance: Instance, lines: int) -> tuple[str, ...]:
        return self._of(instance).output(instance, lines)

    def usage(self, instances: Sequence[Instance]) -> dict[str, Usage]:
        theirs = [instance for instance in instances if self._of(instance) is self._docker]
        ours = [instance for instance in instances if instance not in theirs]
        return {**self._host.usage(ours), **self._docker.usage(theirs)}

    @contextmanager
    def attend(self) -> Iterator[None]:
        with self._host.attend(), self._docker.attend():
            yield

    def forget(self, app: str) -> None:
        self._host.forget(app)
        self._docker.forget(app)

    def volumes(self, app: str) -> list[str]:
        return sorted({*self._host.volumes(app), *self._docker.volumes(app)})

    def remove_volume(self, app: str, name: str) -> None:
        self._docker.remove_volume(app, name)  # first, since this one may refuse
        self._host.remove_volume(app, name)

    def wait_for_exit(self, timeout: float) -> bool:
        """The host's runtime waits for both: a thread of ours wakes it when something in the engine has ended."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="exits", daemon=True)
            self._watcher.start()
        if not self._ended.is_set() and self._host.wait_for_exit(timeout):
            return True
        ended = self._ended.is_set()
        self._ended.clear()
        return ended

    def wake(self) -> None:
        self._host.wake()

    def missing(self) -> list[str]:
        return [*self._host.missing(), *self._docker.missing()]

    def _by_kind(self, spec: InstanceSpec) -> Runtime:
        return self._docker if spec.artifact.kind == "image" else self._host

    def _of(self, instance: Instance) -> Runtime:
        return self._docker if instance.runtime == self._docker.name else self._host

    def _watch(self) -> None:
        while True:
            try:
                if self._docker.wait_for_exit(_LONG):
                    self._ended.set()
                    self._host.wake()
            except Exception:  # or nothing would be told any more
                _log.exception("waiting for the end of containers failed")
                time.sleep(1)


def _in_order(instances: list[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda instance: (instance.started_at, instance.id))
