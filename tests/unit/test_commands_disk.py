"""disk: what takes the room, and giving it back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from callers import Caller
from fakes import FolderImages

from gitpaas import locks
from gitpaas import tree as trees
from gitpaas.artifacts import Usage
from gitpaas.errors import EngineFailed, ToolFailed
from gitpaas.store import App, Build, Release
from gitpaas.values import Artifact

MEGABYTE = 1024 * 1024


@pytest.fixture
def hello(operator: Caller) -> Caller:
    """An app with a live release, and the operator."""
    operator("apps:create", "hello")
    live(operator, "hello", 1)
    return operator


class Cache:
    """BuildKit, as far as its cache goes."""

    held = 5 * MEGABYTE
    trouble: Exception | None = None

    def __init__(self, config: object) -> None:
        pass

    def cache_usage(self) -> int:
        return Cache.held

    def prune_cache(self) -> int:
        if Cache.trouble:
            raise Cache.trouble
        freed, Cache.held = Cache.held, 0
        return freed


@pytest.fixture
def images(hello: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderImages:
    """The server runs images too: directories here. Nobody has volumes."""
    monkeypatch.setattr(Cache, "held", 5 * MEGABYTE)
    monkeypatch.setattr(Cache, "trouble", None)
    monkeypatch.setattr("gitpaas.buildkit.BuildKit", Cache)
    monkeypatch.setattr("gitpaas.disk.engines.volumes", lambda _: {})
    store = FolderImages(tmp_path / "images")
    hello.platform.__dict__["artifacts"] = {**hello.platform.artifacts, "image": store}
    return store


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def live(caller: Caller, app: str, build: int, number: int = 1) -> Path:
    """A slug of one megabyte that went live."""
    slug = write(caller.platform.config.slug(app, build) / "app.bin", MEGABYTE).parent
    made = json.dumps(asdict(Artifact("slug", str(slug), "test", "Test", {})))
    with caller.platform.store.session():
        row = App.get(App.name == app)
        Release.create(
            app=row, number=number, commit="a" * 40, description="Deploy", artifact=made, config="", by="alice",
            status="live",
        )  # fmt: skip
        App.update(release=number).where(App.id == row.id).execute()
    return slug


def begin_build(caller: Caller, app: str) -> Build:
    with caller.platform.store.session():
        return Build.create(
            app=App.get(App.name == app), commit="b" * 40, subject="", ref="refs/heads/main", previous="", by="alice"
        )


def test_disk_shows_apps_and_what_is_free(hello: Caller, reader: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    config = hello.platform.config
    hello("apps:create", "other")
    write(config.cache("hello") / "downloads" / "uv" / "wheel", 3 * MEGABYTE)
    write(config.logs("other") / "app.log", 2 * MEGABYTE)
    monkeypatch.setattr("gitpaas.tree.taken", trees.size)  # disk blocks differ from filesystem to filesystem
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Used", (), {"free": 40 * 1024**3, "total": 100 * 1024**3}))
    sources = trees.size(config.repository("hello"))

    shown = reader("disk").out.splitlines()

    assert shown[0].split() == ["APP", "TOTAL", "SLUGS", "BUILD", "CACHE", "LOGS", "SOURCE"]
    assert shown[1].split()[:7] == ["hello", "4", "MB", "1", "MB", "3", "MB"]
    assert shown[2].split()[:5] == ["other", "2", "MB", "-", "-"]
    assert shown[3].split()[:3] == ["(all)", "6", "MB"]
    assert shown[4:] == [f"40.0 GB of 100.0 GB are free on the disk of {config.home}"]
    data = reader("disk", "--format", "json").json
    assert data["apps"][0] == {
        "app": "hello", "total": 4 * MEGABYTE + sources, "slugs": MEGABYTE, "build cache": 3 * MEGABYTE,
        "source": sources,
    }  # fmt: skip
    assert data["shared"] == {}
    assert data["disks"] == [{"path": str(config.home), "free": 40 * 1024**3, "size": 100 * 1024**3}]


def test_an_empty_server(reader: Caller) -> None:
    assert reader("disk").out.splitlines()[-1].endswith(f"are free on the disk of {reader.platform.config.home}")
    assert reader("disk", "--format", "json").json["apps"] == []


def test_what_apps_share_comes_last(hello: Caller, images: FolderImages, tmp_path: Path) -> None:
    tree = write(tmp_path / "tree" / "app.bin", 2 * MEGABYTE).parent
    images.load(tree, "hello", 2)

    shown = hello("disk", "--format", "json").json

    assert shown["apps"][0]["images"] == 2 * MEGABYTE
    assert shown["shared"]["build cache"] == 5 * MEGABYTE
    assert [line.split()[0] for line in hello("disk").out.splitlines()[:4]] == ["APP", "hello", "(shared)", "(all)"]


def test_an_engine_that_does_not_answer_leaves_the_rest(
    hello: Caller, images: FolderImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> list[Usage]:
        raise EngineFailed("listing images: Docker Engine at unix:///x does not answer")

    monkeypatch.setattr(FolderImages, "usage", silent)
    monkeypatch.setattr("gitpaas.disk.engines.volumes", silent)

    told = "What images take is not known: listing images: Docker Engine at unix:///x does not answer."
    assert hello("disk").out.splitlines()[-1] == f" !     {told}"
    answer = hello("disk", "--format", "json").json
    assert (answer["unknown"], answer["apps"][0]["slugs"] > 0) == ([told], True)


def test_prune_frees_what_no_release_needs(hello: Caller, images: FolderImages, tmp_path: Path) -> None:
    config = hello.platform.config
    old = write(config.slug("hello", 7) / "app.bin", MEGABYTE).parent
    downloads = write(config.cache("hello") / "downloads" / "npm" / "tarball", 2 * MEGABYTE).parents[1]
    images.load(write(tmp_path / "tree" / "app.bin", 4 * MEGABYTE).parent, "hello", 2)

    answer = hello("disk:prune")

    assert answer.code == 0
    assert [line.split(maxsplit=2)[2] for line in answer.out.splitlines()[:3]] == ["build cache", "images", "slugs"]
    assert answer.out.splitlines()[3] == "12 MB freed."
    assert (old.exists(), downloads.exists(), config.slug("hello", 1).exists()) == (False, False, True)
    assert hello("disk:prune").out == "There was nothing to free.\n"


def test_prune_as_json(hello: Caller, images: FolderImages) -> None:
    assert hello("disk:prune", "--format", "json").json == {
        "freed": {"build cache": 5 * MEGABYTE}, "total": 5 * MEGABYTE, "waits": [],
    }  # fmt: skip


def test_prune_of_one_app_leaves_the_others_and_what_they_share(hello: Caller, images: FolderImages) -> None:
    hello("apps:create", "other")
    config = hello.platform.config
    doomed, stays = (write(config.slug(app, 9) / "app.bin", MEGABYTE).parent for app in ("hello", "other"))

    hello("disk:prune", "hello")

    assert (doomed.exists(), stays.exists(), Cache.held) == (False, True, 5 * MEGABYTE)


def test_an_app_that_is_built_keeps_its_downloads(hello: Caller) -> None:
    config = hello.platform.config
    downloads = write(config.cache("hello") / "downloads" / "uv" / "wheel", 10).parents[1]
    build = begin_build(hello, "hello")
    begun = write(config.slug("hello", build.id) / "app.bin", 10)

    answer = hello("disk:prune", "hello")

    assert answer.out.splitlines()[-1] == " !     hello is being built: its downloads stay for now."
    assert downloads.exists()
    assert begun.exists()


def test_an_app_that_is_rolled_out_keeps_its_releases(hello: Caller) -> None:
    old = write(hello.platform.config.slug("hello", 7) / "app.bin", 10).parent

    with locks.held(hello.platform.config.rollout_lock("hello")):
        answer = hello("disk:prune")

    assert " !     hello is being changed: its old releases stay for now.\n" in answer.out
    assert old.exists()


def test_leftovers_of_what_was_killed_go(hello: Caller) -> None:
    config = hello.platform.config
    left = [
        config.repos / ".gone.git.3",
        config.all_slugs / ".gone.3",
        config.run / "scratch" / "hello.v1.web.1.x",
    ]
    for path in left:
        write(path / "file", 1000)

    shown = hello("disk:prune", "--format", "json").json

    assert shown["freed"]["leftovers"] >= 3000
    assert [path for path in left if path.exists()] == []


def test_a_build_cache_that_cannot_be_pruned_is_told(hello: Caller, images: FolderImages) -> None:
    Cache.trouble = ToolFailed("The build cache cannot be pruned: buildctl exited with 1")

    answer = hello("disk:prune")

    assert answer.code == 0
    assert answer.out == (
        "There was nothing to free.\n !     The build cache cannot be pruned: buildctl exited with 1.\n"
    )


def test_disk_under_files_counts_neither_holes_nor_second_names(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree" / "file", MEGABYTE).parent
    empty = trees.taken(tmp_path / "nothing")
    before = trees.taken(tree)
    (tree / "link").hardlink_to(tree / "file")
    with (tree / "hole").open("wb") as file:
        file.truncate(100 * MEGABYTE)

    assert empty == 0
    assert before >= MEGABYTE
    assert trees.taken(tree) - before < 64 * 1024
