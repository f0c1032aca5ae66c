"""Every app in tests/apps is pushed and must answer, or fail, as its expected.json says:

status, path, body   what its URL answers
detects              what the push calls it
release, worker      what its release phase says in the push, and its worker in the logs
lock                 a command that writes its lock file first, since a lock names a registry
build: fails         with `says` in the push and the push rejected
start: ...           the same for an app that builds but does not start
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import samples

from .programs import run, wait_until
from .world import AppRepo, World

APPS = Path(__file__).parent.parent / "apps"

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(200)]


def _cases() -> list[Any]:
    folders = [APPS / name for name in samples.NAMES]
    marks = {folder: [pytest.mark.needs("node", "npm")] * (folder / "package.json").exists() for folder in folders}
    return [pytest.param(folder, marks=marks[folder], id=folder.name) for folder in folders]


@pytest.mark.parametrize("folder", _cases())
def test_app(world: World, folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text())
    app = _app(world, folder, expected)

    pushed = app.push(timeout=180)

    if "says" in expected:
        assert pushed.code == 1, pushed.output
        assert "[remote rejected] main -> main (build failed)" in pushed.output
        assert expected["says"] in pushed.output
        assert "nothing has been deployed" in app.get().body
        return
    assert pushed.code == 0, pushed.output
    assert f"-----> {expected['detects']} app detected" in pushed.output
    assert expected.get("release", "") in pushed.output
    answer = app.get(expected["path"])
    assert (answer.status, answer.body.strip()) == (expected["status"], expected["body"])
    if "worker" in expected:
        wait_until(lambda: expected["worker"] in app.ssh("logs", "-p", "worker").output, "the worker's line")


def test_second_push_installs_nothing_again(world: World) -> None:
    folder = APPS / "python-20-deps"
    app = _app(world, folder, {})
    first = app.deploy()

    changed = (folder / "main.py").read_text() + "\n# one more line\n"
    second = app.deploy({"main.py": changed})

    assert _seconds(second.output) < _seconds(first.output)
    assert "Installed" not in second.output


def _app(world: World, folder: Path, expected: dict[str, Any]) -> AppRepo:
    app = world.new_app({}, name=f"{folder.name}-{os.urandom(2).hex()}")
    shutil.copytree(folder, app.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected.json", "__pycache__"))
    if "lock" in expected:
        tools = f"{Path(sys.executable).parent}:{world.env['PATH']}"
        run(shlex.split(expected["lock"]), env=world.env | {"PATH": tools}, cwd=app.path, check=True)
    app.commit({})
    return app


def _seconds(output: str) -> float:
    """Of the `deployed in 21.4s` line."""
    took = output.partition("deployed in ")[2].split("s", 1)[0]
    minutes, _, seconds = took.rpartition("m")
    return float(minutes or 0) * 60 + float(seconds)
