"""Fakes that stand in at a Protocol. The contract suites run over them and over the real thing alike."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from gitpaas import tree as trees
from gitpaas.artifacts import Needed, Usage
from gitpaas.errors import BuildFailed, EngineFailed, RouterFailed, RuntimeFailed
from gitpaas.output import Output
from gitpaas.procfile import read
from gitpaas.runtimes.host import HostRuntime
from gitpaas.values import Artifact, ArtifactKind, BuildRequest, Detection, Instance, InstanceSpec, Page, Survey

NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


class MemoryRouter:
    """A routing table that routes nothing. Tests set `open` to say how busy an address is."""

    capacity = 12

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.held: set[str] = set()
        self.switches: list[tuple[str, tuple[str, ...] | Page]] = []  # every change, oldest first
        self._table: dict[str, tuple[str, ...] | Page] = {}
        self._aliases: dict[str, str] = {}

    def point(self, host: str, addresses: Sequence[str]) -> None:
        if not 1 <= len(addresses) <= self.capacity:
            raise RouterFailed(f"{len(addresses)} addresses")
        self._switch(host, tuple(dict.fromkeys(addresses)))

    def show(self, host: str, page: Page) -> None:
        self._switch(host, page)

    def hold(self, host: str, on: bool) -> None:
        (self.held.add if on else self.held.discard)(host)

    def forget(self, host: str) -> None:
        self.held.discard(host)
        self._table.pop(host, None)

    def route(self, host: str) -> tuple[str, ...] | Page | None:
        return self.routes().get(host)

    def routes(self) -> dict[str, tuple[str, ...] | Page]:
        return dict(self._table)

    def alias(self, name: str, host: str | None) -> None:
        if not all(NAME.fullmatch(one) for one in (name.removeprefix("*."), host or "x")):
            raise RouterFailed(f"{name} or {host}")
        self._aliases = {key: value for key, value in self._aliases.items() if key != name}
        self._aliases |= {name: host} if host else {}

    def aliases(self) -> Mapping[str, str]:
        return self._aliases

    def connections(self, address: str) -> int:
        return self.open.get(address, 0)

    def _switch(self, host: str, answer: tuple[str, ...] | Page) -> None:
        if self._table.get(host) != answer:
            self._table[host] = answer
            self.switches.append((host, answer))


class FolderImages:
    """An engine's images as directories `<id>`, beside each a file `<id>.names`: an image goes with its last name."""

    kind = "image"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, tree: Path, app: str, build: int) -> str:
        image = "sha256:" + sha256(f"{self._folder} {app} {build}".encode()).hexdigest()
        shutil.copytree(tree, self.path(image))
        self._write(image, [f"{app}:build-{build}"])
        return image

    def path(self, image: str) -> Path:
        return self._folder / image.replace(":", "-")

    def names(self, app: str) -> dict[str, str]:
        """{"hello:v3": "sha256:..."}"""
        found = {name: image for image in self._all() for name in self._read(image)}
        return {name: image for name, image in found.items() if name.startswith(f"{app}:")}

    def is_kept(self, artifact: Artifact) -> bool:
        return self.path(artifact.reference).is_dir()

    def tag(self, app: str, release: int, artifact: Artifact) -> None:
        self._write(artifact.reference, sorted({*self._read(artifact.reference), f"{app}:v{release}"}))

    def discard(self, app: str, build: int) -> None:
        if image := self.names(app).get(f"{app}:build-{build}"):
            self._remove(image)

    def prune(self, app: str, needed: Callable[[], Needed]) -> None:
        there = self.names(app)
        needs = needed()
        stays = {artifact.reference for artifact in needs.artifacts}
        stays |= {there[name] for build in needs.builds if (name := f"{app}:build-{build}") in there}
        for image in set(there.values()) - stays:
            self._remove(image)

    def forget(self, app: str) -> None:
        for image in set(self.names(app).values()):
            self._remove(image)

    def usage(self) -> list[Usage]:
        sizes: dict[str, int] = {}
        for image in self._all():
            app = self._read(image)[0].partition(":")[0]
            sizes[app] = sizes.get(app, 0) + trees.size(self.path(image))
        return [Usage(app, "images", size) for app, size in sizes.items()]

    def _all(self) -> list[str]:
        return [path.name.replace("-", ":", 1) for path in self._folder.iterdir() if path.is_dir()]

    def _names_of(self, image: str) -> Path:
        return self.path(image).with_suffix(".names")

    def _read(self, image: str) -> list[str]:
        return self._names_of(image).read_text().split()

    def _write(self, image: str, names: list[str]) -> None:
        self._names_of(image).write_text("\n".join(names))

    def _remove(self, image: str) -> None:
        shutil.rmtree(self.path(image))
        self._names_of(image).unlink()


class CopyingBuilder:
    """Makes an image of a tree as it is. Understands those that have the file `sign`; keeps the requests it got."""

    kind: ArtifactKind = "image"

    def __init__(self, name: str, sign: str, images: FolderImages) -> None:
        self.name = name
        self._sign = sign
        self._images = images
        self.requests: list[BuildRequest] = []
        self.fails: Exception | None = None

    def detect(self, tree: Path) -> Detection | None:
        return Detection(self.name, self.name.capitalize()) if trees.has_file(tree, self._sign) else None

    def build(self, request: BuildRequest, out: Output) -> Artifact:
        self.requests.append(request)
        if self.fails:
            raise self.fails
        sign = request.options.dockerfile or self._sign
        if not trees.has_file(request.tree, sign):
            raise BuildFailed(f"There is no {sign}", step="detect", hint=f"Add a {sign}.")
        return Artifact(
            kind="image",
            reference=self._images.load(request.tree, request.app, request.build),
            builder=self.name,
            label=f"{self.name.capitalize()} 1.0",
            processes=read(request.tree) or {},
            details={"copier": "1.0"},
        )


class UnpackingRuntime:
    """Runs an image's directory as the host runtime runs a slug's. `silent`: its engine does not answer."""

    def __init__(self, host: HostRuntime, images: FolderImages) -> None:
        self._host = host
        self._images = images
        self._ours: set[str] = set()  # ids of instances that run an image
        self.silent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def start(self, spec: InstanceSpec) -> Instance:
        if spec.artifact.kind == "slug":
            return self._host.start(spec)
        self._require_engine()
        instance = self._host.start(self._unpacked(spec))
        self._ours.add(instance.id)
        return instance

    def run(self, spec: InstanceSpec, on_line: Callable[[str], None], timeout: float) -> int:
        return self._host.run(self._unpacked(spec), on_line, timeout)

    def running(self, app: str | None = None) -> list[Instance]:
        self._require_engine()
        return self._host.running(app)

    def survey(self, app: str | None = None) -> Survey:
        seen = self._host.running(app)
        if not self.silent:
            return Survey(tuple(seen))
        return Survey(tuple(i for i in seen if i.id not in self._ours), frozenset({"image"}))

    def _require_engine(self) -> None:
        if self.silent:
            raise EngineFailed("Docker Engine does not answer", "Is it running? docker info")

    def _unpacked(self, spec: InstanceSpec) -> InstanceSpec:
        if spec.artifact.kind == "slug":
            return spec
        folder = self._images.path(spec.artifact.reference)
        if not folder.is_dir():
            raise RuntimeFailed("No such image.")
        return replace(spec, artifact=replace(spec.artifact, kind="slug", reference=str(folder)))
