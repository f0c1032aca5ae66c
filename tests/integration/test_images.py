"""Images in a real engine: how they get in, what they are called, and who else's are never touched."""

from __future__ import annotations

import gc
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import layouts
import pytest

from gitpaas.artifacts import Needed
from gitpaas.artifacts.images import ImageStore
from gitpaas.config import Config
from gitpaas.engine import Engine, labels
from gitpaas.engine.images import Images
from gitpaas.engine.layouts import Layouts
from gitpaas.errors import EngineFailed
from gitpaas.values import Artifact

pytestmark = pytest.mark.needs("docker")

BASE, DEPENDENCIES = {"base.txt": "b" * 5000}, {"dependencies.txt": "d" * 7000}


@dataclass
class Dock:
    """One server's images, and the engine underneath for what others do to it."""

    config: Config
    desk: Path

    def __post_init__(self) -> None:
        self.engine = Engine(self.config)
        self.images, self.layouts, self.store = Images(self.engine), Layouts(self.engine), ImageStore(self.config)

    @property
    def app(self) -> str:
        """A name of this server's alone: others on the engine, tests among them, must not share ours here."""
        return f"hello-{self.config.identity}"

    def name(self, tag: str) -> str:
        return f"gitpaas/{self.app}:{tag}"

    def elsewhere(self, tag: str) -> str:
        return f"gp-images-test/{self.app}:{tag}"

    def marks(self, app: str, build: int) -> dict[str, str]:
        return labels(self.engine.ours, app=app, build=build)

    def build(self, build: int, app: str = "", text: str = "", **config: object) -> Artifact:
        """What a build leaves: an image named after it."""
        app = app or self.app
        layout = layouts.write(self.desk / f"{app}-{build}", BASE, {"app.txt": text or f"{app} {build}"}, **config)
        image = self.layouts.load(layout, f"gitpaas/{app}:build-{build}", self.marks(app, build))
        assert image
        return Artifact("image", image, "test", "Test", {})

    def names(self, artifact: Artifact) -> Sequence[str]:
        """The tags of an image of ours, sorted."""
        return sorted(name.rpartition(":")[2] for name in self.images.inspect(artifact.reference).names)

    def prune(self, *needed: Artifact, releases: Sequence[int] = (), builds: Sequence[int] = ()) -> None:
        self.store.prune(self.app, lambda: Needed(needed, builds, releases))

    def foreign(self, name: str, **settings: str) -> str:
        """An image that somebody else has made on this engine."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(f"{name.replace('/', '-').replace(':', '-')}.txt"))
        changes = [f"LABEL {key}={value}" for key, value in settings.items()]
        repository, _, tag = name.partition(":")
        self.engine.api.import_image_from_data(tar.getvalue(), repository, tag or None, changes)
        return str(self.engine.api.inspect_image(name)["Id"])


@pytest.fixture
def dock(config: Config, tmp_path: Path) -> Iterator[Dock]:
    made = Dock(replace(config, home=tmp_path / "home"), tmp_path / "desk")
    yield made
    for app in (made.app, "other"):
        made.store.forget(app)
    left = made.images.ours()
    made.engine.api.close()
    assert left == []


@pytest.fixture
def foreign(dock: Dock) -> Iterator[list[str]]:
    """Names that the test gives to images which are not ours, to take away at the end."""
    names: list[str] = []
    yield names
    for name in names:
        dock.engine.api.remove_image(name)


def test_an_image_says_how_it_starts(dock: Dock) -> None:
    exposed = {"8000/tcp": {}, "53/udp": {}, "80/tcp": {}}
    made = dock.build(1, Entrypoint=["/bin/app"], Cmd=["serve"], ExposedPorts=exposed)

    info = dock.images.inspect(made.reference)

    assert (info.entrypoint, info.command, info.ports) == (("/bin/app",), ("serve",), (80, 8000))
    assert (info.build, info.names, info.id) == (1, (dock.name("build-1"),), made.reference)
    assert info.size > 5000


def test_it_has_our_labels_and_its_own_but_no_false_ones(dock: Dock) -> None:
    made = dock.build(7, Labels={"maintainer": "alice", "gitpaas.app": "other", "gitpaas.release": "1"})

    found = dict(dock.images.inspect(made.reference).labels)
    del found["gitpaas.layers"]

    assert found == {"maintainer": "alice", **dock.marks(dock.app, 7)}
    assert [image.id for image in dock.images.ours(dock.app)] == [made.reference]
    assert dock.images.ours("other") == []


def test_layers_that_the_engine_has_are_left_out(dock: Dock) -> None:
    first, second = dock.desk / "first", dock.desk / "second"
    layouts.write(first, BASE, DEPENDENCIES, {"app.txt": "1"}, packed=[0])
    one = dock.layouts.load(first, dock.name("build-1"), dock.marks(dock.app, 1))

    dock.layouts.prepare(second, dock.app)
    layouts.write(second, BASE, DEPENDENCIES, {"app.txt": "2"}, packed=[0])
    two = dock.layouts.load(second, dock.name("build-2"), dock.marks(dock.app, 2))

    assert one
    assert two
    stand_ins = [path for path in (second / "blobs" / "sha256").iterdir() if not path.stat().st_size]
    assert len(stand_ins) == 3  # the first app.txt too, which the second image has not
    assert dock.images.layers(one)[:2] == dock.images.layers(two)[:2]
    assert contents(dock, two) == {"base.txt": BASE["base.txt"], **DEPENDENCIES, "app.txt": "2"}


def test_the_first_build_of_an_app_finds_the_layers_of_another(dock: Dock) -> None:
    dock.build(1)

    dock.layouts.prepare(dock.desk / "new", "other")

    assert len(list((dock.desk / "new" / "blobs" / "sha256").iterdir())) == 2


def test_a_layer_on_top_of_others_than_before_is_asked_for(dock: Dock) -> None:
    layouts.write(dock.desk / "first", BASE, DEPENDENCIES)
    assert dock.layouts.load(dock.desk / "first", dock.name("build-1"), dock.marks(dock.app, 1))
    dock.layouts.prepare(dock.desk / "second", dock.app)
    layouts.write(dock.desk / "second", {"newer.txt": "n"}, DEPENDENCIES)
    layouts.write(dock.desk / "whole", {"newer.txt": "n"}, DEPENDENCIES)

    assert dock.layouts.load(dock.desk / "second", dock.name("build-2"), dock.marks(dock.app, 2)) is None
    whole = dock.layouts.load(dock.desk / "whole", dock.name("build-2"), dock.marks(dock.app, 2))
    assert whole
    assert contents(dock, whole) == {"newer.txt": "n", **DEPENDENCIES}


def test_an_image_removed_meanwhile_makes_its_layers_needed_again(dock: Dock) -> None:
    dock.build(1)
    dock.layouts.prepare(dock.desk / "second", dock.app)
    layouts.write(dock.desk / "second", BASE, {"app.txt": "2"})
    dock.store.forget(dock.app)

    assert dock.layouts.load(dock.desk / "second", dock.name("build-2"), dock.marks(dock.app, 2)) is None


def test_what_the_engine_cannot_read_is_told(dock: Dock) -> None:
    for archive in ([b"no archive" * 1000], [bytes(10240)]):
        with pytest.raises(EngineFailed, match="loading the image"):
            dock.images.load(archive)


@pytest.mark.parametrize("start", [{}, {"Entrypoint": ["/bin/app"]}, {"Entrypoint": ["/bin/app"], "Cmd": ["a"]}])
def test_labelling_adds_no_command(dock: Dock, start: dict[str, list[str]]) -> None:
    before = dock.images.inspect(dock.build(1, **start).reference)

    again = dock.images.name_and_label(before.id, dock.name("build-2"), dock.marks(dock.app, 2))

    after = dock.images.inspect(again)
    assert (after.entrypoint, after.command) == (before.entrypoint, before.command)


def test_a_label_that_leads_elsewhere_makes_no_file_there(dock: Dock) -> None:
    made = dock.build(1)
    dock.images.name_and_label(
        made.reference, dock.name("build-2"), {**dock.marks(dock.app, 2), "gitpaas.layers": "sha256:../../../out,x"}
    )

    dock.layouts.prepare(dock.desk / "new", dock.app)

    assert not (dock.desk / "out").exists()
    assert {len(path.name) for path in (dock.desk / "new" / "blobs" / "sha256").iterdir()} == {64}


def test_an_image_of_the_engine_is_named_and_labelled_without_a_new_layer(dock: Dock) -> None:
    made = dock.build(1, Cmd=["serve"], Labels={"maintainer": "alice"})

    again = dock.images.name_and_label(made.reference, dock.name("build-2"), dock.marks(dock.app, 2))

    before, after = dock.images.inspect(made.reference), dock.images.inspect(again)
    assert after.labels == {"maintainer": "alice", "gitpaas.layers": "", **dock.marks(dock.app, 2)}
    assert (after.command, after.names) == (before.command, (dock.name("build-2"),))
    assert dock.images.layers(again) == dock.images.layers(made.reference)
    assert dock.engine.api.containers(all=True, filters={"ancestor": made.reference}) == []
    dock.images.remove(dock.name("build-1"))
    dock.store.discard(dock.app, 2)
    assert [dock.images.exists(image) for image in (made.reference, again)] == [False, False]


def test_a_release_names_its_image_and_takes_the_name_along(dock: Dock) -> None:
    first, second = dock.build(1), dock.build(2)
    for release, artifact in ((1, first), (2, second), (3, second), (4, first)):  # v3: config vars, v4: a rollback
        dock.store.tag(dock.app, release, artifact)
    assert dock.names(first) == ["build-1", "v1", "v4"]

    dock.prune(second, first, releases=(3, 4))

    assert dock.names(first) == ["build-1", "v4"]
    assert dock.names(second) == ["build-2", "v3"]


def test_ten_builds_of_which_five_are_needed(dock: Dock) -> None:
    made = []
    for build in range(1, 11):
        made.append(dock.build(build))
        dock.store.tag(dock.app, build, made[-1])
        dock.prune(*made[-5:], releases=range(build - 4, build + 1))

    assert [dock.store.is_kept(artifact) for artifact in made] == [False] * 5 + [True] * 5
    assert len(dock.images.ours(dock.app)) == 5


def test_nothing_of_anybody_else_is_touched(dock: Dock, foreign: list[str]) -> None:
    foreign += [dock.elsewhere("theirs"), dock.name("latest"), dock.name("v9")]
    theirs = [dock.foreign(name) for name in foreign]
    labelled = dock.foreign(dock.elsewhere("labelled"), **{"gitpaas.home": "0123456789ab", "gitpaas.app": dock.app})
    foreign.append(dock.elsewhere("labelled"))
    container = dock.engine.api.create_container(theirs[0], ["/x"], labels={"gp-images-test": "1"})["Id"]
    try:
        dock.build(1)
        dock.store.discard(dock.app, 1)
        dock.prune()
        dock.store.forget(dock.app)

        assert [dock.images.inspect(name).id for name in foreign] == [*theirs, labelled]
        assert dock.engine.api.inspect_container(container)["Image"] == theirs[0]
    finally:
        dock.engine.api.remove_container(container)


def test_a_name_that_somebody_else_has_given_one_of_ours_stays(dock: Dock, foreign: list[str]) -> None:
    made = dock.build(1)
    dock.store.tag(dock.app, 1, made)
    dock.engine.api.tag(made.reference, *dock.elsewhere("copy").split(":"))
    foreign.append(dock.elsewhere("copy"))

    dock.prune()
    dock.prune()

    assert dock.images.inspect(made.reference).names == (dock.elsewhere("copy"),)


def test_a_name_that_another_server_has_is_not_taken_from_it(dock: Dock, foreign: list[str]) -> None:
    theirs = dock.foreign(dock.name("v1"), **{"gitpaas.home": "0123456789ab"})
    foreign.append(dock.name("v1"))
    made = dock.build(1)

    dock.store.tag(dock.app, 1, made)

    assert dock.images.inspect(dock.name("v1")).id == theirs
    assert dock.names(made) == ["build-1", f"v1-{dock.config.identity}"]
    dock.prune(made, releases=(2,))
    assert dock.names(made) == ["build-1"]


def test_an_image_without_a_name_is_found_by_its_labels(dock: Dock) -> None:
    made = dock.build(1)
    dock.engine.api.tag(dock.build(2).reference, f"gitpaas/{dock.app}", "build-1", force=True)
    assert dock.names(made) == []

    dock.prune()

    assert not dock.store.is_kept(made)


def test_an_image_that_a_container_uses_stays_until_that_is_gone(dock: Dock) -> None:
    made = dock.build(1)
    dock.store.tag(dock.app, 1, made)
    container = dock.engine.api.create_container(made.reference, ["/x"], labels={"gp-images-test": "1"})["Id"]
    try:
        dock.prune()
        assert dock.store.is_kept(made)
    finally:
        dock.engine.api.remove_container(container)

    dock.prune()
    assert not dock.store.is_kept(made)


def test_usage_counts_a_layer_once(dock: Dock) -> None:
    """Engines tell bytes of files or of disk blocks: what is compared is which layers count, and for whom."""
    size = dock.images.inspect(dock.build(1).reference).size
    (first,) = dock.store.usage()
    for build in (2, 3):
        dock.build(build, text=str(build) * 1000)
    (hello,) = dock.store.usage()
    dock.build(4, "other")
    shared = {use.app: use.bytes for use in dock.store.usage()}

    assert (first.app, first.what, hello.app) == (dock.app, "images", dock.app)
    assert first.bytes <= size
    assert first.bytes < hello.bytes < 3 * first.bytes
    assert shared.keys() == {None, dock.app, "other"}
    assert shared[None] + shared[dock.app] == hello.bytes
    assert shared[None] >= 5000


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the library's socket that could not connect
def test_an_engine_that_is_gone_holds_up_no_tidying_and_is_told_where_it_matters(config: Config) -> None:
    store = ImageStore(replace(config, docker_host="unix:///nonexistent/docker.sock"))
    artifact = Artifact("image", "sha256:" + "0" * 64, "test", "Test", {})

    store.prune("hello", lambda: Needed([], ()))
    store.discard("hello", 1)
    store.forget("hello")

    for call in (lambda: store.is_kept(artifact), lambda: store.tag("hello", 1, artifact), store.usage):
        with pytest.raises(EngineFailed, match="does not answer"):
            call()
    gc.collect()


def contents(dock: Dock, image: str) -> dict[str, str]:
    """The files of an image, as a container would see them."""
    container = dock.engine.api.create_container(image, ["/x"], labels={"gp-images-test": "1"})["Id"]
    try:
        tar = io.BytesIO(b"".join(dock.engine.api.export(container)))
    finally:
        dock.engine.api.remove_container(container)
    with tarfile.open(fileobj=tar) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.name.endswith(".txt")}
        return {name: file.read().decode() for name, file in files.items() if file}
