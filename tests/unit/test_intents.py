"""What is intended of all apps: told anew after each change, and worked out of a release once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from gitpaas import releases, store
from gitpaas.releases import intents
from gitpaas.releases.intents import Intents
from gitpaas.store import App, Build, Formation, Release, Store
from gitpaas.values import Artifact


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    opened = store.connect(tmp_path / "gitpaas.db", tmp_path / "secret.key")
    with opened.session():
        yield opened
    opened.close()


def release(app: App, number: int, **processes: str) -> Release:
    """A live one with these process types."""
    made = json.dumps(asdict(Artifact("slug", "/slug", processes=processes, builder="python", label="Python")))
    row = Release.create(app=app, number=number, description="", artifact=made, config="", by="me", status="live")
    App.update(release=number).where(App.id == app.id).execute()
    return row


def wanted(told: Intents) -> dict[str, dict[str, tuple[int, ...]]]:
    return {name: dict(intent.wanted) for name, intent in told.now().items()}


def test_each_change_is_seen(opened: Store) -> None:
    told = Intents(opened)
    assert told.now() == {}
    app = App.create(name="hello", created_by="me")
    assert [(i.number, i.wanted, i.has_builds) for i in told.now().values()] == [(None, {}, False)]
    release(app, 1, web="a", worker="b", release="c")
    assert wanted(told) == {"hello": {"web": (1,), "worker": ()}}
    Formation.create(app=app, process="worker", quantity=2)
    assert wanted(told) == {"hello": {"web": (1,), "worker": (1, 2)}}
    App.update(held=json.dumps(["worker.1"])).execute()
    assert wanted(told) == {"hello": {"web": (1,), "worker": (2,)}}
    Build.create(app=app, commit="c", ref="", previous="", by="me")
    assert told.now()["hello"].has_builds
    App.update(stopped=True).execute()
    assert wanted(told) == {"hello": {}}
    app.delete_instance()
    assert told.now() == {}


def test_one_app_is_told_as_it_is_among_all(opened: Store) -> None:
    told = Intents(opened)
    for number, name in enumerate(("one", "two"), 1):
        release(App.create(name=name, created_by="me"), number, web="a")
    App.create(name="three", created_by="me")
    for name in ("one", "two", "three"):
        assert intents.of(name) == told.now()[name]
    assert intents.of("four") is None
    assert [intents.of(name).release for name in ("two", "three")] == [Release.get(number=2), None]  # type: ignore[union-attr]


def test_a_release_is_read_once_while_it_is_live(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    parsed = releases.parsed
    monkeypatch.setattr(releases, "parsed", lambda text: read.append(text) or parsed(text))
    monkeypatch.setattr(intents, "_AT_ONCE", 2)
    told = Intents(opened)
    apps = [App.create(name=f"app-{number}", created_by="me") for number in range(5)]
    for app in apps:
        release(app, 1, web="a")
    assert [len(told.now()), len(read)] == [5, 5]
    release(apps[0], 2, web="b")
    assert [told.now()["app-0"].number, len(read)] == [2, 6]
    App.update(stopped=True).execute()
    assert [len(told.now()), len(read)] == [5, 6]
    assert len(told._outlines) == 5, "what is live no more is remembered no more"
