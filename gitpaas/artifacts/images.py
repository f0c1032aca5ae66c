"""Images in the engine, found by our labels. Only what carries them is touched, and never by force: what a container
uses, or somebody else has given a name, stays."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from gitpaas.artifacts import Needed, Usage
from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine.images import ImageInfo, Images, Part
from gitpaas.errors import EngineFailed
from gitpaas.values import Artifact

_log = logging.getLogger(__name__)


class ImageStore:
    """The images of a state directory."""

    kind = "image"

    def __init__(self, config: Config) -> None:
        self._images = Images(Engine(config))

    def is_kept(self, artifact: Artifact) -> bool:
        return self._images.exists(artifact.reference)

    def tag(self, app: str, release: int, artifact: Artifact) -> None:
        self._images.tag(artifact.reference, f"{_repository(app)}:v{release}")

    def discard(self, app: str, build: int) -> None:
        with _logged(f"what build {build} of {app} left is removed later"):
            for image in self._images.ours(app):
                if image.build == build:
                    self._remove(app, image)

    def prune(self, app: str, needed: Callable[[], Needed]) -> None:
        with _logged(f"images of {app} are removed later"):
            there = self._images.ours(app)
            needs = needed()
            stays = {artifact.reference for artifact in needs.artifacts}
            for image in there:
                if image.id in stays or image.build in needs.builds:
                    self._forget_releases(app, image, needs.releases)
                else:
                    self._remove(app, image)

    def forget(self, app: str) -> None:
        with _logged(f"images of {app} stay"):
            for image in self._images.ours(app):
                self._remove(app, image)

    def usage(self) -> list[Usage]:
        """A layer counts once, however many images have it: for the app, or for nobody when several apps do."""
        sizes: dict[Part, int] = {}
        apps: defaultdict[Part, set[str]] = defaultdict(set)
        for image in self._images.ours():
            for part, size in self._images.parts(image.id).items():
                sizes[part] = size
                apps[part].add(image.labels.get("gitpaas.app", ""))
        total: Counter[str | None] = Counter()
        for part, size in sizes.items():
            total[next(iter(apps[part])) if len(apps[part]) == 1 else None] += size
        return [Usage(app, "images", size) for app, size in total.items()]

    def _forget_releases(self, app: str, image: ImageInfo, kept: Collection[int]) -> None:
        """A release that is gone takes its name with it, whoever else still needs the image."""
        for name in image.names:
            number = _release(app, name)
            if number is not None and number not in kept:
                self._images.remove(name)

    def _remove(self, app: str, image: ImageInfo) -> None:
        """Take our names away; the engine removes what has no name left and no container."""
        ours = [name for name in image.names if name.startswith(f"{_repository(app)}:")]
        with suppress(EngineFailed):  # a container uses it: next time
            for name in ours if image.names else [image.id]:
                self._images.remove(name)


def _repository(app: str) -> str:
    return f"gitpaas/{app}"


def _release(app: str, name: str) -> int | None:
    """12 of gitpaas/hello:v12; also where another server on the engine has that name, and ours has a mark."""
    match = re.fullmatch(re.escape(_repository(app)) + r":v(\d+)(-[0-9a-f]{12})?", name)
    return int(match[1]) if match else None


@contextmanager
def _logged(otherwise: str) -> Iterator[None]:
    """Tidying fails no deploy that is live; what is left is found by its labels the next time."""
    try:
        yield
    except EngineFailed as error:
        _log.warning("%s: %s", otherwise, error.message)
