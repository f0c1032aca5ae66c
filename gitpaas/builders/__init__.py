"""Builders turn a source tree into an artifact. One file each; the tuple at the bottom is the registry."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from gitpaas import __version__
from gitpaas.config import Config
from gitpaas.output import Output
from gitpaas.values import Artifact, ArtifactKind, BuildRequest, Detection


class Builder(Protocol):
    """`detect` looks and touches nothing; `build` raises BuildFailed for the app's faults, other kin for ours.

    Asked to build a tree that it does not understand, it says what it looked for and what to add. The tree of an
    image's build is scratch; a slug's stays, for it is the slug."""

    name: str
    kind: ArtifactKind

    def detect(self, tree: Path) -> Detection | None: ...

    def build(self, request: BuildRequest, out: Output) -> Artifact: ...


class Registered(NamedTuple):
    """A builder by name, loaded when it is needed: a server of plain processes never needs those of images.

    `version` changes when it may make something else of the same tree. It is asked for without loading the builder."""

    name: str
    kind: ArtifactKind
    load: Callable[[Config], Builder]
    version: Callable[[], str]


def _dockerfile(config: Config) -> Builder:
    from gitpaas.builders.dockerfile import DockerfileBuilder

    return DockerfileBuilder(config)


def _railpack(config: Config) -> Builder:
    from gitpaas.builders.railpack import RailpackBuilder

    return RailpackBuilder(config)


def _slug(config: Config) -> Builder:
    from gitpaas.builders.slug import SlugBuilder

    return SlugBuilder(config)


def _slug_version() -> str:
    return f"gitpaas {__version__}, Python {platform.python_version()}"  # the Python of trees that ask for none


def _image_version(*names: str) -> str:
    from gitpaas.toolchain.pins import shipped

    tools = shipped().tools
    return ", ".join([f"gitpaas {__version__}", *(f"{name} {tools[name].version}" for name in names)])


# The first that understands a tree builds it, of those whose kind of artifact the server makes by itself; the last of
# these has the last word on what nobody understands.
BUILDERS = (
    Registered("dockerfile", "image", _dockerfile, lambda: _image_version("buildkit")),
    Registered("railpack", "image", _railpack, lambda: _image_version("railpack", "buildkit", "mise")),
    Registered("slug", "slug", _slug, _slug_version),
)
