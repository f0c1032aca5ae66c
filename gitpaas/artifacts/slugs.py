"""Slugs: directories `slugs/<app>/<build>`, with layers of packages beside them that several may share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gitpaas import layers, shell
from gitpaas.artifacts import Needed, Usage, usage_below
from gitpaas.config import Config
from gitpaas.values import Artifact


class SlugStore:
    """The slugs of a state directory."""

    kind = "slug"

    def __init__(self, config: Config) -> None:
        self._config = config

    def is_kept(self, artifact: Artifact) -> bool:
        """Nor is a slug without its layers one, or one whose Python is gone."""
        return Path(artifact.reference).is_dir() and all(layers.is_whole(Path(m.source)) for m in artifact.mounts)

    def tag(self, app: str, release: int, artifact: Artifact) -> None:
        """A slug's directory has the number of its build, and stays there."""

    def discard(self, app: str, build: int) -> None:
        _remove(self._config.slug(app, build))

    def prune(self, app: str, needed: Callable[[], Needed]) -> None:
        there = list(self._config.slugs(app).glob("*"))
        needs = needed()
        stays = {artifact.reference for artifact in needs.artifacts}
        stays |= {str(self._config.slug(app, build)) for build in needs.builds}
        for slug in there:
            if str(slug) not in stays:
                _remove(slug)
        used = [mount.source for artifact in needs.artifacts for mount in artifact.mounts]
        layers.prune(self._config.cache(app), used)

    def forget(self, app: str) -> None:
        shell.remove(self._config.slugs(app))

    def usage(self) -> list[Usage]:
        slugs, caches = self._config.all_slugs, self._config.all_caches
        return [*usage_below(slugs, "slugs"), *usage_below(caches, "build cache")]


def _remove(slug: Path) -> None:
    """Never half of it is there under its own name, whoever is killed: it may be taken into use again."""
    doomed = slug.with_name(f".{slug.name.removeprefix('.')}")
    with suppress(FileNotFoundError):
        slug.rename(doomed)
    shell.remove(doomed)
