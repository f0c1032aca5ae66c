"""Builders turn a source tree into an artifact. One file each; the tuple at the bottom is the registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gitpaas.config import Config
from gitpaas.output import Output
from gitpaas.values import Artifact, BuildRequest, Detection


class Builder(Protocol):
    """`detect` looks and touches nothing; `build` raises BuildFailed for the app's faults, other kin for ours."""

    name: str

    def detect(self, tree: Path) -> Detection | None: ...

    def build(self, request: BuildRequest, out: Output) -> Artifact: ...


from gitpaas.builders.slug import SlugBuilder  # noqa: E402  (it is registered below the Protocol it follows)

# The first that understands a tree builds it.
BUILDERS: tuple[Callable[[Config], Builder], ...] = (SlugBuilder,)
