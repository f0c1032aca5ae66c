"""Pushes, rollbacks and config vars of an app whose artifacts are images of a real engine: which of them stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import layouts
import pytest
from flow import ALICE, Flow, fresh

from gitpaas import apps, deploy, disk, releases
from gitpaas.artifacts.images import ImageStore
from gitpaas.config import Config
from gitpaas.engine import Engine, labels
from gitpaas.engine import disk as engines
from gitpaas.engine.images import Images
from gitpaas.engine.layouts import Layouts
from gitpaas.errors import EngineFailed, NotFound
from gitpaas.output import Output
from gitpaas.values import Artifact, BuildRequest, Detection

pytestmark = pytest.mark.needs("docker", "git")

NOTHING_RUNS = "clock: sleep 600\n"  # of which no instance is wanted until somebody scales it


@dataclass
class Packer:
    """A builder whose image is the tree on top of a base."""

    config: Config
    desk: Path
    name = "packer"
    kind = "image"

    def detect(self, tree: Path) -> Detection | None:
        return Detection("packer", "Packed")

    def build(self, request: BuildRequest, out: Output) -> Artifact:
        engine = Engine(self.config)
        files = {path.name: path.read_text() for path in request.tree.iterdir() if path.is_file()}
        layout, name = self.desk / str(request.build), f"gitpaas/{request.app}:build-{request.build}"
        Layouts(engine).prepare(layout, request.app)
        layouts.write(layout, {"base.txt": "b" * 5000}, files)
        image = Layouts(engine).load(layout, name, labels(engine.ours, app=request.app, build=request.build))
        assert image
        return Artifact("image", image, self.name, "Packed", {"clock": "sleep 600"})


@dataclass
class Site:
    """A flow, and what is in the engine of it."""

    flow: Flow
    images: Images

    def push(self, text: str) -> str:
        """The image that is live now."""
        self.flow.deploy(NOTHING_RUNS, text_txt=text)
        return self.image(self.flow.live.number)

    def image(self, release: int) -> str:
        return releases.artifact(self.flow.release(release)).reference

    def named(self) -> dict[int, str]:
        """By the numbers of the releases that images are named after."""
        found = {}
        for image in self.images.ours("hello"):
            for name in image.names:
                if match := re.search(r":v(\d+)", name):  # another server on this engine may have a hello too
                    found[int(match[1])] = image.id
        return found


@pytest.fixture
def site(config: Config, tmp_path: Path) -> Iterator[Site]:
    with fresh(config) as flow:
        platform = flow.platform
        store = ImageStore(platform.config)
        platform.__dict__["artifacts"] = {**platform.artifacts, "image": store}
        platform.__dict__["builders"] = (Packer(platform.config, tmp_path / "layouts"),)
        yield Site(flow, Images(Engine(platform.config)))
        store.forget("hello")


@pytest.fixture
def foreign(site: Site) -> Iterator[str]:
    """Another server's image, of an app of the same name, that shares a layer with ours."""
    config, home = site.flow.config, site.flow.config.home
    layout = layouts.write(home / "foreign", {"base.txt": "b" * 5000}, {"theirs.txt": str(home)})
    name = f"gp-images-test/{config.identity}:theirs"
    image = Layouts(Engine(config)).load(layout, name, {"gitpaas.home": "0123456789ab", "gitpaas.app": "hello"})
    assert image
    yield image
    site.images.remove(name)


def test_after_ten_pushes_five_images_are_kept_and_nothing_foreign_is_gone(site: Site, foreign: str) -> None:
    made = [site.push(str(number)) for number in range(1, 11)]

    assert site.named() == {number: made[number - 1] for number in range(6, 11)}
    assert {image.id for image in site.images.ours("hello")} == set(made[5:])
    assert disk.prune(site.flow.platform).bytes["images"] == 0
    assert {image.id for image in site.images.ours("hello")} == set(made[5:])
    assert site.images.exists(foreign)


def test_a_rollback_and_a_change_of_config_share_the_image(site: Site) -> None:
    flow = site.flow
    first, second = site.push("1"), site.push("2")

    deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out)
    deploy.set_config(flow.platform, flow.app, {"A": "1"}, ALICE, flow.out)

    assert site.named() == {1: first, 2: second, 3: first, 4: first}
    for number in range(5, 9):
        site.push(str(number))
    assert site.named().keys() == {4, 5, 6, 7, 8}
    assert site.images.exists(first)
    assert not site.images.exists(second)
    deploy.rollback(flow.platform, flow.app, 4, ALICE, flow.out)
    assert site.image(flow.live.number) == first
    with pytest.raises(NotFound, match="v2 is no longer kept"):
        deploy.rollback(flow.platform, flow.app, 2, ALICE, flow.out)


def test_an_engine_that_fails_at_the_last_step_fails_the_deploy_in_words(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = site.flow
    first = site.push("1")

    def fail(*_: object) -> None:
        raise EngineFailed("naming gitpaas/hello:v2: Docker Engine at unix:///x does not answer", "Is it running?")

    monkeypatch.setattr(ImageStore, "tag", fail)
    assert flow.push(flow.commit(NOTHING_RUNS, text_txt="2")) != 0

    assert "naming gitpaas/hello:v2: Docker Engine at unix:///x does not answer. v1 keeps serving." in flow.lines.text
    assert (flow.live.number, flow.release(2).status) == (1, "failed")
    assert [image.id for image in site.images.ours("hello")] == [first]
    monkeypatch.undo()
    assert site.push("2")
    assert site.named().keys() == {1, 3}


def test_an_engine_that_is_silent_after_the_switch_does_not_undo_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise EngineFailed("listing images: Docker Engine at unix:///x does not answer")

    for number in range(1, 6):
        site.push(str(number))
    monkeypatch.setattr(Images, "ours", silent)
    monkeypatch.setattr(Layouts, "prepare", lambda *_: None)
    flow = site.flow

    assert flow.push(flow.commit(NOTHING_RUNS, text_txt="6")) == 0

    assert flow.live.number == 6
    monkeypatch.undo()
    assert site.named().keys() == {1, 2, 3, 4, 5, 6}
    freed = disk.prune(flow.platform)
    assert freed.bytes["images"] > 0
    assert site.named().keys() == {2, 3, 4, 5, 6}


def test_an_app_that_is_destroyed_takes_its_images_along(site: Site) -> None:
    site.push("1")
    site.push("2")

    apps.destroy(site.flow.platform, site.flow.app)

    assert site.images.ours("hello") == []


def test_what_images_and_volumes_take_is_told_by_app(site: Site) -> None:
    engine = Engine(site.flow.config)
    for number in range(1, 4):
        site.push(str(number) * 1000)
    name = f"gp-images-test-{site.flow.config.identity}"
    engine.api.create_volume(name, labels=labels(engine.ours, app="hello", volume="data"))
    try:
        taken = {(use.app, use.what): use.bytes for use in disk.usage(site.flow.platform).usages}
        volumes = engines.volumes(engine)
    finally:
        engine.api.remove_volume(name)

    assert 5000 + 3 * 1000 <= taken["hello", "images"] < 3 * (5000 + 1000 + 4096 * 8)
    assert taken["hello", "source"] > 0
    assert volumes.keys() == {"hello"}
