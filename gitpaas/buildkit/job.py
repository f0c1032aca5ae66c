"""What one build is asked to make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gitpaas.values import Secret


@dataclass(frozen=True)
class Job:
    """One image. What is in `options` may be seen by anybody on the machine; `secrets` by nobody but the build."""

    app: str
    build: int
    tree: Path  # the build's own directory on the disk: its cgroup is linux.build_cgroup(tree)
    context: Path  # the directory whose files the build may ask for: the tree or one below it
    definition: Path  # the directory that holds the Dockerfile, or the plan that a gateway frontend reads
    frontend: str = "dockerfile.v0"  # or gateway.v0
    options: Mapping[str, str] = field(default_factory=dict)  # of the frontend: {"target": "prod", "build-arg:A": "b"}
    secrets: Mapping[str, Secret] = field(default_factory=dict)  # by the id that a step mounts them with
    labels: Mapping[str, str] = field(default_factory=dict)  # on the image, besides those that mark it as ours
    timeout: float = 900.0  # seconds

    @property
    def name(self) -> str:
        """What the engine calls the image."""
        return f"gitpaas/{self.app}:build-{self.build}"
