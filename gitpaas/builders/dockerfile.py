"""The tree's own Dockerfile, built by BuildKit."""

from __future__ import annotations

from pathlib import Path

from gitpaas import tree as trees
from gitpaas.buildkit import BuildKit
from gitpaas.config import Config
from gitpaas.output import Output
from gitpaas.values import Artifact, ArtifactKind, BuildRequest, Detection


class DockerfileBuilder:
    """For trees with a Dockerfile."""

    name = "dockerfile"
    kind: ArtifactKind = "image"

    def __init__(self, config: Config) -> None:
        self._buildkit = BuildKit(config)

    def detect(self, tree: Path) -> Detection | None:
        return Detection(self.name, "Dockerfile") if trees.has_file(tree, "Dockerfile") else None

    def build(self, request: BuildRequest, out: Output) -> Artifact:
        raise NotImplementedError
