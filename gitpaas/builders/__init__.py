"""Builders turn a source tree into an artifact. One file each; the tuple at the bottom is the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from gitpaas.output import Output
from gitpaas.values import Artifact, BuildRequest, Detection


class Builder(Protocol):
    """`detect` looks and touches nothing; `build` raises BuildFailed for the app's faults, other kin for ours."""

    name: str

    def detect(self, tree: Path) -> Detection | None: ...

    def build(self, request: BuildRequest, out: Output) -> Artifact: ...
