"""Builders turn a source tree into an artifact. One file each; the tuple at the bottom is the registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

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
    """A builder by name, loaded when it is needed: a server of plain processes never needs those of images."""

    name: str
    kind: ArtifactKind
    load: Callable[[Config], Builder]


def _dockerfile(config: Config) -> Builder:
    from gitpaas.builders.dockerfile import DockerfileBuilder

    return DockerfileBuilder(config)


def _railpack(config: Config) -> Builder:
    from gitpaas.builders.railpack import RailpackBuilder

    return RailpackBuilder(config)


def _slug(config: Config) -> Builder:
    from gitpaas.builders.slug import SlugBuilder

    return SlugBuilder(config)


# The first that understands a tree builds it, of those whose kind of artifact the server makes by itself; the last of
# these has the last word on what nobody understands.
BUILDERS = (
    Registered("dockerfile", "image", _dockerfile),
    Registered("railpack", "image", _railpack),
    Registered("slug", "slug", _slug),
)
