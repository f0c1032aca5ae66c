"""builds:info and builds:cancel: what came of a build, and the end of one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

import pytest
from callers import Caller

from gitpaas import locks
from gitpaas.store import App, Build, Release
from gitpaas.values import Artifact

MADE = Artifact(
    "image", "sha256:" + "a" * 64, "railpack", "Python 3.12 (Railpack 0.23)", {"web": "python app.py"}, size=188743680
)


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")


def build(caller: Caller, **fields: Any) -> int:
    with caller.platform.store.session():
        given: dict[str, Any] = {
            "app": App.get(), "commit": "a1b2c3d" + "0" * 33, "subject": "Say hello", "by": "alice", "key": "laptop",
            "ref": "refs/heads/main", "previous": "0" * 40,
        }  # fmt: skip
        return int(Build.create(**(given | fields)).id)


def deployed(caller: Caller) -> int:
    """A build that is live."""
    now = time.time()
    number = build(
        caller, status="live", release=1, builder="railpack", label=MADE.label, created_at=now - 122,
        started_at=now - 120, finished_at=now - 100, details=json.dumps({"python": "3.12.3", "Railpack": "0.23.0"}),
    )  # fmt: skip
    with caller.platform.store.session():
        Release.create(
            app=App.get(), number=1, build=number, description="", artifact=json.dumps(asdict(MADE)), config="",
            by="alice", status="live",
        )  # fmt: skip
    return number


def test_what_came_of_a_build(operator: Caller, reader: Caller) -> None:
    deployed(operator)

    assert reader("builds:info", "hello").out == (
        "Build       1\n"
        "State       deployed as v1\n"
        "Commit      a1b2c3d00000 Say hello\n"
        'By          alice, key "laptop"\n'
        "Builder     railpack\n"
        "App         Python 3.12 (Railpack 0.23)\n"
        "Resolved    python 3.12.3, Railpack 0.23.0\n"
        f"Image       sha256:{'a' * 64}, 180 MB\n"
        "Processes   web\n"
        "Began       2m ago\n"
        "Waited      2.0s\n"
        "Took        20.0s\n"
    )
    shown = reader("builds:info", "hello", "1", "--format", "json").json
    assert (shown["state"], shown["builder"], shown["details"]["python"]) == ("live", "railpack", "3.12.3")
    assert shown["artifact"] == {
        "kind": "image", "reference": MADE.reference, "size": 188743680, "processes": {"web": "python app.py"},
    }  # fmt: skip


def test_a_build_that_failed_says_why(operator: Caller, reader: Caller) -> None:
    build(operator, status="failed", error="pip exited with 1", started_at=time.time(), finished_at=time.time())

    shown = reader("builds:info", "hello").out
    assert "State       failed\nWhy         pip exited with 1\n" in shown
    assert "Image" not in shown
    assert reader("builds:info", "hello", "--format", "json").json["artifact"] is None


def test_no_build_to_tell_of(reader: Caller) -> None:
    assert reader("builds:info", "hello").code == 1


def test_there_is_nothing_to_cancel(operator: Caller, deployer: Caller) -> None:
    assert deployer("builds:cancel", "hello").err == " !     No build of hello is under way.\n"
    deployed(operator)
    assert deployer("builds:cancel", "hello", "1").err == " !     Build 1 of hello has ended: deployed.\n"


def test_a_process_that_is_not_the_builds_is_left_alone(operator: Caller, deployer: Caller) -> None:
    """Its pid may be anybody's by now: the start time tells."""
    number = build(operator, status="building")
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    lock = operator.platform.config.build_lock(number)
    try:
        with locks.held(lock):
            lock.write_text(f"{other.pid} 12345\n")
            operator.gone.set()
            assert deployer("builds:cancel", "hello").out.startswith("Build 1 was told to end")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
