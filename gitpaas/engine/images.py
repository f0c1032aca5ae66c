"""Images in the engine: how they get in, what they say of themselves, and which of them are ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gitpaas.engine.client import Engine
from gitpaas.errors import EngineFailed

_NO_COMMAND = ["/"]  # no program, and nobody's CMD

Part = tuple[tuple[str, ...], tuple[int, ...]]  # diff ids and sizes from the lowest layer up to this one


@dataclass(frozen=True)
class ImageInfo:
    """What an image says of itself."""

    id: str  # sha256:...
    names: tuple[str, ...]  # name:tag
    labels: Mapping[str, str]
    size: int  # bytes, layers that it shares with others included
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()  # TCP ports that it EXPOSEs

    @property
    def build(self) -> int:
        """The number of the build that made it; 0 when it is not one of ours."""
        number = self.labels.get("gitpaas.build", "")
        return int(number) if number.isdecimal() else 0


class Images:
    """Everything takes an image's id as well as its name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, archive: Iterable[bytes]) -> str:
        """Read an archive as `docker save` and BuildKit write it. The id of the one image in it."""
        with self._engine.calls("loading the image"):
            return self._loaded(self._engine.api.load_image(iter(archive)))

    def pull(self, reference: str) -> str:
        """Have the engine fetch it from a registry. Its id."""
        with self._engine.calls(f"pulling {reference}"):
            for _ in _checked(f"pulling {reference}", self._engine.api.pull(reference, stream=True, decode=True)):
                pass
        return self.inspect(reference).id

    def name_and_label(self, image: str, name: str, labels: Mapping[str, str]) -> str:
        """The id of a new image of the same layers that has these labels besides its own, and this name.

        What it says in our own words is not believed: such labels stay without a value."""
        api = self._engine.api
        with self._engine.calls(f"labelling {name}"):
            # A container must have something to start, though it never is; the image gets that if it has no CMD.
            own = api.inspect_image(image)["Config"]
            command = own.get("Cmd") or (None if own.get("Entrypoint") else _NO_COMMAND)
            false = {label: "" for label in own.get("Labels") or () if label.startswith("gitpaas.")}
            container = api.create_container(image, command, network_disabled=True, labels=false)["Id"]
            try:
                conf = {"Labels": {**false, **labels}, "Cmd": own.get("Cmd") or []}
                made = str(api.commit(container, conf=conf)["Id"])
            finally:
                with suppress(EngineFailed), self._engine.calls("removing a container"):
                    api.remove_container(container, v=True)
        self.tag(made, name)
        return made

    def inspect(self, image: str) -> ImageInfo:
        """EngineFailed when there is no such image."""
        with self._engine.calls(f"looking at {image}"):
            return _info(self._engine.api.inspect_image(image))

    def exists(self, image: str) -> bool:
        """Whether the engine has it."""
        found: list[Any] = []
        with self._engine.calls(f"looking for {image}", missing_ok=True):
            found.append(self._engine.api.inspect_image(image))
        return bool(found)

    def layers(self, image: str) -> tuple[str, ...]:
        """The diff ids of its layers, the lowest first."""
        with self._engine.calls(f"looking at {image}"):
            return tuple(self._engine.api.inspect_image(image)["RootFS"].get("Layers") or ())

    def parts(self, image: str) -> dict[Part, int]:
        """The bytes of its layers. Images have equal keys for layers that they share.

        The engine tells sizes by the steps of the history, and not which of them left a layer of no size: a step
        whose layer lies above such a one, and another of the same size in its place, look the same."""
        chain = self.layers(image)
        with self._engine.calls(f"looking at {image}"):
            steps = [step["Size"] for step in reversed(self._engine.api.history(image)) if step["Size"]]
        return {(chain[: n + 1], tuple(steps[: n + 1])): size for n, size in enumerate(steps)}

    def tag(self, image: str, name: str) -> None:
        """Give it one more name, `name:tag`. Another image of ours that had it loses it.

        What somebody else has called so keeps it, and ours gets our mark appended: several servers may share an
        engine, and each may have an app of that name."""
        repository, _, tag = name.rpartition(":")
        if not self._is_free(name):
            tag = f"{tag}-{self._engine.ours['gitpaas.home']}"
        with self._engine.calls(f"naming {name}"):
            self._engine.api.tag(image, repository, tag, force=True)

    def remove(self, image: str) -> None:
        """Take a name away; the image goes with its last name, and with it the nameless one that name_and_label() was
        given. EngineFailed while a container needs it."""
        with self._engine.calls(f"removing {image}", missing_ok=True):
            self._engine.api.remove_image(image)

    def ours(self, app: str | None = None) -> list[ImageInfo]:
        """The images of this server, or of one app of it: id, names, labels and size, and no more of each."""
        filters = self._engine.filters(**({"app": app} if app else {}))
        with self._engine.calls("listing images"):
            return [_listed(image) for image in self._engine.api.images(filters=filters)]

    def _is_free(self, name: str) -> bool:
        return not self.exists(name) or self._engine.ours.items() <= self.inspect(name).labels.items()

    def _loaded(self, events: Iterable[dict[str, Any]]) -> str:
        said = [str(event.get("stream", "")).strip() for event in _checked("loading the image", events)]
        loaded = [line.partition(": ")[2] for line in said if line.startswith("Loaded image")]
        if not loaded:
            raise EngineFailed("loading the image: the archive had none in it")
        return self.inspect(loaded[-1]).id


def _checked(doing: str, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The engine's progress; what goes wrong is one of its lines, long after it has answered 200."""
    for event in events:
        if error := event.get("error") or event.get("message"):
            raise EngineFailed(f"{doing}: {error}")
        yield event


def _listed(image: Mapping[str, Any]) -> ImageInfo:
    return ImageInfo(
        id=image["Id"],
        names=_names(image),
        labels=image.get("Labels") or {},
        size=image["Size"],
    )


def _info(image: Mapping[str, Any]) -> ImageInfo:
    config: Mapping[str, Any] = image.get("Config") or {}
    command: list[str] = config.get("Cmd") or []
    return ImageInfo(
        id=image["Id"],
        names=_names(image),
        labels=config.get("Labels") or {},
        size=image["Size"],
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(command if command != _NO_COMMAND else ()),
        ports=_ports(config.get("ExposedPorts") or {}),
    )


def _names(image: Mapping[str, Any]) -> tuple[str, ...]:
    """Without the `<none>:<none>` that older engines call an image without a name."""
    return tuple(name for name in image.get("RepoTags") or () if not name.startswith("<none>"))


def _ports(exposed: Iterable[str]) -> tuple[int, ...]:
    """{"8000/tcp": {}, "53/udp": {}} -> (8000,); ranges are expanded by whoever built the image."""
    split = (port.partition("/") for port in exposed)
    return tuple(sorted(int(number) for number, _, protocol in split if protocol in ("tcp", "") and number.isdigit()))
