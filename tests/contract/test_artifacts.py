"""What every artifact store promises: slugs on the disk, images in a real engine, and the stand-in for these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import layouts
import pytest
from fakes import FolderImages

from gitpaas.artifacts import ArtifactStore, Needed
from gitpaas.artifacts.images import ImageStore
from gitpaas.artifacts.slugs import SlugStore
from gitpaas.config import Config
from gitpaas.engine import Engine, labels
from gitpaas.engine.layouts import Layouts
from gitpaas.values import Artifact

NOTHING = Needed([], ())


@dataclass
class Shelf:
    """A store, and a way to put something onto it."""

    store: ArtifactStore
    make: Callable[[str, int], Artifact]

    def made(self, app: str, *builds: int) -> list[Artifact]:
        return [self.make(app, build) for build in builds]

    def kept(self, *artifacts: Artifact) -> list[bool]:
        return [self.store.is_kept(artifact) for artifact in artifacts]


def slug_shelf(config: Config, tmp_path: Path) -> Shelf:
    def make(app: str, build: int) -> Artifact:
        slug = config.slug(app, build)
        slug.mkdir(parents=True)
        (slug / "app.txt").write_text(f"{app} {build}")
        return Artifact("slug", str(slug), "test", "Test", {})

    return Shelf(SlugStore(config), make)


def image_shelf(config: Config, tmp_path: Path) -> Shelf:
    engine = Engine(config)

    def make(app: str, build: int) -> Artifact:
        layout = layouts.write(tmp_path / f"{app}-{build}", {"base.txt": "base"}, {"app.txt": f"{app} {build}"})
        marks = labels(engine.ours, app=app, build=build)
        image = Layouts(engine).load(layout, f"gitpaas/{app}:build-{build}", marks)
        assert image
        return Artifact("image", image, "test", "Test", {})

    return Shelf(ImageStore(config), make)


def folder_shelf(config: Config, tmp_path: Path) -> Shelf:
    images = FolderImages(config.home / "images")

    def make(app: str, build: int) -> Artifact:
        tree = tmp_path / f"{app}-{build}"
        tree.mkdir(parents=True)
        (tree / "app.txt").write_text(f"{app} {build}")
        return Artifact("image", images.load(tree, app, build), "test", "Test", {})

    return Shelf(images, make)


@pytest.fixture(params=[slug_shelf, folder_shelf, pytest.param(image_shelf, marks=pytest.mark.needs("docker"))])
def put_up(request: pytest.FixtureRequest, config: Config, tmp_path: Path) -> Iterator[Callable[[str], Shelf]]:
    """Make the shelf of a server; each name is a server of its own."""
    shelves: dict[str, Shelf] = {}

    def put(server: str) -> Shelf:
        shelves[server] = request.param(replace(config, home=tmp_path / server), tmp_path / f"{server}-layouts")
        return shelves[server]

    yield put
    for shelf in shelves.values():
        for app in ("hello", "other"):
            shelf.store.forget(app)
        assert shelf.store.usage() == []


@pytest.fixture
def shelf(put_up: Callable[[str], Shelf]) -> Shelf:
    return put_up("home")


def test_what_was_made_is_kept_until_nobody_needs_it(shelf: Shelf) -> None:
    first, second = shelf.made("hello", 1, 2)

    assert shelf.kept(first, second) == [True, True]
    shelf.store.prune("hello", lambda: Needed([second], ()))
    shelf.store.prune("hello", lambda: Needed([second], ()))
    assert shelf.kept(first, second) == [False, True]


def test_what_is_being_built_stays(shelf: Shelf) -> None:
    first, second = shelf.made("hello", 1, 2)

    shelf.store.prune("hello", lambda: Needed([], {2}))

    assert shelf.kept(first, second) == [False, True]


def test_what_is_made_while_we_prune_stays(shelf: Shelf) -> None:
    made = shelf.made("hello", 1)

    def needed() -> Needed:
        made.extend(shelf.made("hello", 2))
        return NOTHING

    shelf.store.prune("hello", needed)

    assert shelf.kept(*made) == [False, True]


def test_other_apps_are_left_alone(shelf: Shelf) -> None:
    hello, other = shelf.make("hello", 1), shelf.make("other", 2)

    shelf.store.prune("hello", lambda: NOTHING)
    shelf.store.discard("hello", 2)
    shelf.store.forget("hello")

    assert shelf.kept(hello, other) == [False, True]


def test_other_servers_are_left_alone(put_up: Callable[[str], Shelf]) -> None:
    ours, theirs = put_up("ours"), put_up("theirs")
    hello, their_hello = ours.make("hello", 1), theirs.make("hello", 1)
    ours.store.tag("hello", 1, hello)
    theirs.store.tag("hello", 1, their_hello)

    ours.store.prune("hello", lambda: NOTHING)
    ours.store.forget("hello")

    assert ours.kept(hello) == [False]
    assert theirs.kept(their_hello) == [True]


def test_a_failed_build_is_discarded_alone_and_twice(shelf: Shelf) -> None:
    first, second = shelf.made("hello", 1, 12)

    for _ in range(2):
        shelf.store.discard("hello", 12)

    assert shelf.kept(first, second) == [True, False]


def test_an_app_that_is_destroyed_leaves_nothing(shelf: Shelf) -> None:
    made = shelf.made("hello", 1, 2)
    shelf.store.tag("hello", 1, made[0])

    for _ in range(2):
        shelf.store.forget("hello")

    assert shelf.kept(*made) == [False, False]
    assert shelf.store.usage() == []


def test_tags_are_given_again_and_shared(shelf: Shelf) -> None:
    first, second = shelf.made("hello", 1, 2)

    for release, artifact in ((1, first), (2, second), (2, second), (3, first)):
        shelf.store.tag("hello", release, artifact)
    shelf.store.prune("hello", lambda: Needed([first], (), {3}))

    assert shelf.kept(first, second) == [True, False]


def test_usage_tells_bytes_by_app(shelf: Shelf) -> None:
    shelf.made("hello", 1)

    before = {use.app: use.bytes for use in shelf.store.usage()}
    shelf.made("hello", 2)
    after = {use.app: use.bytes for use in shelf.store.usage()}

    assert before.keys() == after.keys() == {"hello"}
    assert 0 < before["hello"] < after["hello"]
