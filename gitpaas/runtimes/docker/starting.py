"""From a spec to a container that runs: its image, its place in the network, and what to do when the engine balks."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from gitpaas import locks
from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine.images import ImageInfo, Images
from gitpaas.engine.networks import Networks, Place
from gitpaas.engine.stream import Stream
from gitpaas.errors import CannotStart, EngineFailed, RuntimeFailed
from gitpaas.runtimes.docker import names, settings
from gitpaas.runtimes.docker.settings import Streaming, Surroundings
from gitpaas.runtimes.ports import free_port
from gitpaas.values import InstanceSpec

_TRIES = 5
_MOST_PUBLISHED = 16  # ports of one container


@dataclass(frozen=True)
class Started:
    """A container that runs."""

    key: str
    name: str
    labels: dict[str, str]


class Starter:
    """Makes and starts containers. `published`: the host reaches them through ports of its loopback, not by the
    address on their bridge; None finds that out."""

    def __init__(self, config: Config, engine: Engine, published: bool | None = None) -> None:
        self._config = config
        self._engine = engine
        self._images = Images(engine)
        self._networks = Networks(engine, config)
        self._published = published
        self._has_init = True
        self._known: dict[str, ImageInfo] = {}  # by id: an image never changes
        self._with_shell: set[str] = set()

    @contextmanager
    def started(
        self,
        spec: InstanceSpec,
        *,
        one_off: bool = False,
        before: Callable[[str], None] = lambda _: None,
        streams: Streaming | None = None,
    ) -> Iterator[Started]:
        """Within the body nobody takes it for an orphan; it is removed when the body raises.

        `before` is called with the container's name before it is started."""
        key = names.new_key(spec)
        lock = lock_path(self._config, key)
        try:
            with locks.held(lock):
                try:
                    yield self._start(spec, key, before, one_off, streams)
                except BaseException:
                    self.remove(names.container(key))
                    raise
        finally:
            lock.unlink(missing_ok=True)

    def remove(self, container: str) -> None:
        """As well as it can be done now: what is left is swept by the server."""
        with suppress(EngineFailed), self._engine.calls(f"removing {container}", missing_ok=True):
            self._engine.api.remove_container(container, v=True, force=True)

    def image(self, spec: InstanceSpec) -> ImageInfo:
        """RuntimeFailed when the engine has it no more."""
        reference = spec.artifact.reference
        if reference not in self._known:
            try:
                self._known[reference] = self._images.inspect(reference)
            except EngineFailed as error:
                raise _explained(spec, error) from error
        return self._known[reference]

    def _start(
        self, spec: InstanceSpec, key: str, before: Callable[[str], None], one_off: bool, streams: Streaming | None
    ) -> Started:
        image, name = self.image(spec), names.container(key)
        for attempt in range(_TRIES):
            around = self._surroundings(spec, image, key, one_off, streams)
            try:
                with self._engine.calls(f"{spec.process}.{spec.number} of {spec.app} cannot be started"):
                    self._engine.api.create_container_from_config(settings.container(spec, image, around), name)
                self._require_shell(spec, image, name)
                before(name)
                with self._engine.calls(f"{spec.process}.{spec.number} of {spec.app} cannot be started"):
                    self._engine.api.start(name)
            except EngineFailed as error:
                if attempt == _TRIES - 1 or not self._may_work_next(error):
                    raise _explained(spec, error) from error
                self.remove(name)
            else:
                return Started(key, name, dict(around.labels))
        raise AssertionError("the last try raises")

    def _surroundings(
        self, spec: InstanceSpec, image: ImageInfo, key: str, one_off: bool, streams: Streaming | None
    ) -> Surroundings:
        place = self._networks.place(spec.app)
        port = None if one_off else settings.port(spec, image)
        published = self._publish(port, image) if port is not None and self._is_published(place) else {}
        return Surroundings(
            key=key,
            place=place,
            labels=names.label_all(self._engine, spec, key, str(place.address), port, published, one_off=one_off),
            port=port,
            published=published,
            one_off=one_off,
            streams=streams,
            init=self._has_init,
            host_name=_version(self._engine) >= (1, 41),
            volume_prefix=volume_prefix(self._config, spec.app),
        )

    def _publish(self, port: int, image: ImageInfo) -> dict[int, int]:
        published: dict[int, int] = {}
        for inner in (port, *image.ports)[:_MOST_PUBLISHED]:
            if inner not in published:
                published[inner] = free_port(self._config.app_ports, published.values())
        return published

    def _is_published(self, place: Place) -> bool:
        if self._published is None:
            self._published = not _is_here(place.gateway)
        return self._published

    def _require_shell(self, spec: InstanceSpec, image: ImageInfo, container: str) -> None:
        """Else the init process would say so, in words of its own, and only to the log."""
        if not settings.needs_shell(spec, image) or image.id in self._with_shell:
            return
        try:
            Stream(self._engine.address, "HEAD", f"/containers/{container}/archive", {"path": settings.SHELL}).close()
        except EngineFailed as error:
            if error.status != 404:
                raise
            raise CannotStart(
                f"`{spec.command}` is a shell command, and the image of {spec.app} has no {settings.SHELL}.",
                "Start the app by the image's own CMD (no such line in the Procfile), or add a shell to the image.",
            ) from error
        self._with_shell.add(image.id)

    def _may_work_next(self, error: EngineFailed) -> bool:
        """Whether another try has a chance: somebody took the address or the network, or there is no init process."""
        if "docker-init" in error.message:
            self._has_init = False
            return True
        return any(
            words in error.message
            for words in ("Address already in use", "already allocated", "address already in use", "network")
        )


def lock_path(config: Config, key: str) -> Path:
    """Held while a container is made, and for a one-off until its end."""
    return locks_folder(config) / key


def locks_folder(config: Config) -> Path:
    """Of all these locks, by the ids of instances."""
    return config.locks / "containers"


def volume_prefix(config: Config, app: str) -> str:
    """With dots, which no app's name has: nobody gets another app's volume by the choice of names."""
    return f"gitpaas-{config.identity}.{app}."


def _is_here(gateway: IPv4Address) -> bool:
    """Whether that address is this machine's own: then the bridge behind it can be reached from here."""
    with socket.socket() as probe:
        try:
            probe.bind((str(gateway), 0))
        except OSError:
            return False
    return True


def _version(engine: Engine) -> tuple[int, ...]:
    return tuple(int(part) for part in engine.api.api_version.split("."))


def _explained(spec: InstanceSpec, error: EngineFailed) -> RuntimeFailed:
    if "No such image" in error.message:
        return RuntimeFailed(
            f"The image of {spec.app} v{spec.release} is gone from Docker Engine.",
            f"Build it again: ssh paas ps:rebuild {spec.app}",
        )
    if "No command specified" in error.message:
        return CannotStart(
            f"The image of {spec.app} does not say what to start.", "Add a CMD to the Dockerfile, or a Procfile."
        )
    if program := re.search(r'exec: "([^"]*)": ([^:]*)', error.message):
        return CannotStart(
            f"{spec.process}.{spec.number} of {spec.app} cannot be started: {program[1]}: {program[2]}",
            "Look at the Dockerfile's CMD and ENTRYPOINT, and at the Procfile.",
        )
    return error
