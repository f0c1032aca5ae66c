"""The same for the apps of tests/apps that want an image, on a server whose apps run in Docker. Their expected.json has
more: `builder` (who builds it) and `config` (config vars that are set before the push)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import engine
import pytest
import samples

from .programs import Result
from .world import AppRepo, World

pytestmark = [
    pytest.mark.needs("root", "docker", "buildkit", "git", "ssh", "ssh-keygen"),
    pytest.mark.timeout(900),
]
CASES = [
    pytest.param(name, marks=[pytest.mark.needs("railpack")] * (samples.expected(name)["builder"] == "railpack"))
    for name in samples.images()
]


@pytest.fixture(scope="module")
def docker_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = Path(tmp_path_factory.mktemp("docker"))
    made = World(root, RUNTIME="docker", **engine.settings())
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("name", CASES)
def test_app(docker_world: World, name: str) -> None:
    expected = samples.expected(name)
    app = prepared(docker_world, name)

    pushed = app.push(timeout=240)

    for value in expected.get("config", {}).values():
        assert value not in pushed.output
    if "says" in expected:
        assert_refused(app, pushed, expected["says"])
        return
    assert pushed.code == 0, pushed.output
    assert f"-----> {expected['detects']} app detected" in pushed.output
    answer = app.get(expected["path"])
    assert (answer.status, answer.body.strip()) == (expected["status"], expected["body"])


def prepared(world: World, name: str) -> AppRepo:
    """A repository with the app's files, and its config vars set."""
    app = world.new_app({}, name=f"{name}-{os.urandom(2).hex()}")
    shutil.copytree(samples.APPS / name, app.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected.json"))
    app.commit({})
    if config := samples.expected(name).get("config"):
        assert app.ssh("apps:create").code == 0
        assert app.ssh("config:set", *(f"{key}={value}" for key, value in config.items())).code == 0
    return app


def assert_refused(app: AppRepo, pushed: Result, says: str) -> None:
    assert pushed.code == 1, pushed.output
    assert "[remote rejected] main -> main (build failed)" in pushed.output
    assert says in pushed.output
    assert "nothing has been deployed" in app.get().body
