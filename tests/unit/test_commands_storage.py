"""storage: what an app keeps beyond its releases."""

from __future__ import annotations

import pytest
from callers import Answer, Caller

from gitpaas import linux, releases
from gitpaas.store import App, Release
from gitpaas.values import VolumeMount


@pytest.fixture(autouse=True)
def hello(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "can_confine", lambda: True)
    operator.platform.runtime.name = "host"
    operator("apps:create", "hello")


def mounted(caller: Caller) -> dict[str, str]:
    return {row["name"]: row["path"] for row in caller("storage", "hello", "--format", "json").json}


def test_mount_list_and_unmount(deployer: Caller, reader: Caller) -> None:
    assert deployer("storage:mount", "hello", "data:/var/lib/data") == Answer(0, "data will be at /var/lib/data.\n", "")
    deployer("storage:mount", "hello", "up:/app/uploads")

    assert reader("storage", "hello").out == "NAME  PATH\ndata  /var/lib/data\nup    /app/uploads\n"
    assert deployer("storage:unmount", "hello", "data").out.startswith("data will not be at /var/lib/data any more.\n")
    assert deployer("storage:unmount", "hello", "up:/app/uploads").code == 0
    assert mounted(reader) == {}


def test_an_empty_list_says_how_to_fill_it(reader: Caller) -> None:
    assert "storage:mount hello data:/var/lib/data" in reader("storage", "hello").out
    assert reader("storage", "hello", "--format", "json").json == []


def test_instances_get_it_with_their_next_start(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    with operator.platform.store.session():
        App.update(release=1).execute()

    assert operator("storage:mount", "hello", "data:/data").out == (
        "data will be at /data. Instances that run do not see it yet: gitpaas ps:restart hello\n"
    )
    with operator.platform.store.session():
        app = App.get()
        config = operator.platform.store.seal.close("{}")
        artifact = '{"kind": "slug", "reference": "/x", "builder": "slug", "label": "", "processes": {"web": "x"},'
        artifact += ' "mounts": [], "health": {}}'
        release = Release(app=app, number=1, description="", artifact=artifact, config=config, by="alice")
        assert releases.spec(operator.platform, app, release, "web", 1).volumes == (VolumeMount("data", "/data"),)


def test_the_same_again_changes_nothing(deployer: Caller) -> None:
    deployer("storage:mount", "hello", "data:/data")

    assert deployer("storage:mount", "hello", "data:/data") == Answer(0, "data is at /data already.\n", "")


@pytest.mark.parametrize("again", ["data:/other", "more:/data", "more:/data/deep", "more:/srv"])
def test_names_and_paths_are_taken_once(deployer: Caller, again: str) -> None:
    deployer("storage:mount", "hello", "data:/data")
    deployer("storage:mount", "hello", "web:/srv/web")

    assert deployer("storage:mount", "hello", again).code == 1
    assert mounted(deployer) == {"data": "/data", "web": "/srv/web"}


@pytest.mark.parametrize(
    "text",
    [
        "data", "data:", ":/data", "data:data", "data:/", "data:/data/", "data://data", "data:/a/../b", "data:/./a",
        "../x:/data", "a b:/data", "a.b:/data", "-a:/data", "data:/da ta", "data:/a:ro", "data:/a,b", "data:/ä",
        "data:/proc", "data:/proc/1", "data:/sys/fs", "data:/dev/shm", "data:/app", "data:/tmp", "data:/usr",
        "data:/usr/lib", f"data:/{'a' * 201}", f"{'a' * 64}:/data",
    ],
)  # fmt: skip
def test_what_cannot_be_mounted(deployer: Caller, text: str) -> None:
    assert deployer("storage:mount", "hello", "--", text).code == 2
    assert mounted(deployer) == {}


def test_name_alone_is_told_what_is_missing(deployer: Caller) -> None:
    assert deployer("storage:mount", "hello", "data").err.startswith(" !     'data' does not say where instances find")


def test_an_image_has_a_system_of_its_own(deployer: Caller) -> None:
    deployer.platform.runtime.name = "docker"

    assert deployer("storage:mount", "hello", "html:/usr/share/nginx/html").code == 0
    assert deployer("storage:mount", "hello", "all:/usr").code == 2


def test_without_a_sandbox_there_is_none(deployer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "can_confine", lambda: False)

    assert "Start the server as root" in deployer("storage:mount", "hello", "data:/data").err


def test_what_is_not_mounted(deployer: Caller) -> None:
    deployer("storage:mount", "hello", "data:/data")

    assert deployer("storage:unmount", "hello", "date").code == 1
    assert deployer("storage:unmount", "hello", "data:/other").code == 1
    assert mounted(deployer) == {"data": "/data"}


def test_data_stays_until_it_is_destroyed(deployer: Caller, admin: Caller) -> None:
    deployer("storage:mount", "hello", "data:/data")
    admin.platform.runtime.kept.append("data")

    assert admin("storage:destroy", "hello", "data", "--confirm", "data").err.startswith(" !     data is mounted.")
    deployer("storage:unmount", "hello", "data")
    assert admin("storage", "hello").out == "NAME  PATH\ndata  kept, not mounted\n"
    assert admin("storage", "hello", "--format", "json").json == [{"name": "data", "path": None}]
    assert deployer("storage:destroy", "hello", "data", "--confirm", "data").code == 3
    assert "ssh paas storage:destroy hello data --confirm data" in admin("storage:destroy", "hello", "data").err
    assert admin("storage:destroy", "hello", "data", "--confirm", "data") == Answer(0, "data is gone.\n", "")
    assert admin.platform.runtime.kept == []
    assert admin("storage:destroy", "hello", "data", "--confirm", "data").code == 1


def test_what_was_done_is_told(deployer: Caller) -> None:
    deployer("storage:mount", "hello", "data:/data")

    assert "storage:mount hello ok: data:/data" in deployer("events", "hello").out
