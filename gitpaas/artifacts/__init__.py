"""Where artifacts are kept, by their kind: slugs are directories, images are the engine's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gitpaas import tree as trees
from gitpaas.values import Artifact


@dataclass(frozen=True)
class Usage:
    """What one thing takes on the disk. `app` is None for what apps share."""

    app: str | None
    what: str  # "images", "slugs", "build cache"
    bytes: int


def usage_below(folder: Path, what: str) -> list[Usage]:
    """What each app's entry in a folder takes. Hidden ones are being removed."""
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    return [Usage(path.name.removesuffix(".git"), what, trees.taken(path)) for path in entries]


@dataclass(frozen=True)
class Needed:
    """What must stay of an app."""

    artifacts: Collection[Artifact]
    builds: Collection[int]  # numbers of those under way
    releases: Collection[int] = ()  # numbers of those that have the artifacts


class ArtifactStore(Protocol):
    """Everything is found by name or label alone; every call is safe to repeat, from any process on the machine."""

    kind: str  # of artifact: slug or image

    def is_kept(self, artifact: Artifact) -> bool:
        """Whether it is still there to run."""

    def tag(self, app: str, release: int, artifact: Artifact) -> None:
        """Let people find it by its release. It has gone live."""

    def discard(self, app: str, build: int) -> None:
        """Remove what a failed build has left."""

    def prune(self, app: str, needed: Callable[[], Needed]) -> None:
        """Remove the app's artifacts that are not needed. That is asked after they have been listed: more are made
        meanwhile."""

    def forget(self, app: str) -> None:
        """Remove all that an app had. It is being destroyed."""

    def usage(self) -> list[Usage]:
        """What takes the room, by app."""
