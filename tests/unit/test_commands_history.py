"""builds, releases, rollback: what was pushed, how it went, and back again."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from callers import Answer, Caller
from instances import until

from gitpaas import deploy, locks
from gitpaas.logs import BuildLog
from gitpaas.store import App, Build, Release


def push(caller: Caller, **fields: Any) -> int:
    """A Build row of the app hello; its number."""
    with caller.platform.store.session():
        given: dict[str, Any] = {
            "app": App.get(App.name == "hello"), "commit": "a1b2c3d" + "0" * 33, "subject": "Say hello", "by": "alice",
            "ref": "refs/heads/main", "previous": "0" * 40, "created_at": time.time() - 120,
        }  # fmt: skip
        return int(Build.create(**(given | fields)).id)


def release(caller: Caller, number: int, status: str = "live", **fields: Any) -> None:
    with caller.platform.store.session():
        app = App.get(App.name == "hello")
        given: dict[str, Any] = {"description": "Deploy a1b2c3d", "artifact": "{}", "config": "", "by": "alice"}
        Release.create(app=app, number=number, status=status, **(given | fields))
        if status == "live":
            App.update(release=number).where(App.id == app.id).execute()


def log(caller: Caller, build: int) -> BuildLog:
    return BuildLog(caller.platform.config.build_log("hello", build))


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")


def test_builds_newest_first(operator: Caller, reader: Caller) -> None:
    now = time.time()
    push(operator, status="failed", error="pip exited with 1", started_at=now - 100, finished_at=now - 91)
    push(operator, status="live", release=2, started_at=now - 100, finished_at=now - 25, subject="Fix\x1b[2J it")

    assert reader("builds", "hello").out == (
        "BUILD  STATE     RELEASE  COMMIT   SUBJECT     BY     WHEN    TOOK\n"
        "2      deployed  v2       a1b2c3d  Fix [2J it  alice  2m ago  1m15s\n"
        "1      failed    -        a1b2c3d  Say hello   alice  2m ago  9.0s\n"
    )
    shown = reader("builds", "hello", "--format", "json").json
    assert [(build["build"], build["state"], build["error"]) for build in shown] == [
        (2, "live", None),
        (1, "failed", "pip exited with 1"),
    ]
    assert len(reader("builds", "hello", "-n", "1").out.splitlines()) == 2


def test_no_builds_yet(reader: Caller) -> None:
    assert "git push paas:hello main" in reader("builds", "hello").out
    assert reader("builds:output", "hello").err.startswith(" !     hello has no builds yet.")


def test_the_output_of_the_latest_build_or_of_one(operator: Caller, reader: Caller) -> None:
    for text in (b"-----> first\n", b"-----> second \xff\n"):
        log(operator, push(operator, status="live", finished_at=1.0)).write(text)

    assert reader("builds:output", "hello") == Answer(0, "-----> second \ufffd\n", "")
    assert reader("builds:output", "hello", "1").out == "-----> first\n"
    assert reader("builds:output", "1", "-a", "hello", "--format", "json").json["output"] == "-----> first\n"
    assert reader("builds:output", "hello", "3").code == 1
    assert reader("builds:output", "hello", "latest").code == 2


def test_a_build_of_another_app_is_not_shown(operator: Caller, reader: Caller) -> None:
    operator("apps:create", "other")
    number = push(operator)

    assert reader("builds:output", "other", str(number)).code == 1


def test_following_ends_with_the_build_and_tells_how_it_ended(operator: Caller, reader: Caller) -> None:
    number = push(operator, status="building")
    sink = log(operator, number)
    sink.write(b"one\n")

    runs = threading.Event()

    def go_on() -> None:
        with locks.held(operator.platform.config.build_lock(number)), operator.platform.store.session():
            runs.set()
            until(lambda: "one" in "".join(reader.shown))
            sink.write(b"two\n")
            Build.update(status="failed", finished_at=time.time()).where(Build.id == number).execute()

    build = threading.Thread(target=go_on)
    build.start()
    runs.wait()
    assert reader("builds:output", "hello", "-t") == Answer(1, "one\ntwo\n", "")
    build.join()


def test_following_ends_when_the_process_of_the_build_was_killed(operator: Caller, reader: Caller) -> None:
    log(operator, push(operator, status="building")).write(b"one\n")

    assert reader("builds:output", "hello", "-t").out == "one\n"


def test_following_ends_when_the_client_leaves(operator: Caller, reader: Caller) -> None:
    number = push(operator, status="building")
    with locks.held(operator.platform.config.build_lock(number)):
        threading.Timer(0.2, reader.gone.set).start()
        assert reader("builds:output", "hello", "-t").out == ""


def test_releases_newest_first(operator: Caller, reader: Caller) -> None:
    release(operator, 1)
    release(operator, 2, "failed", description="Set A")
    moments = {"created_at": 1700000000.0, "live_at": 1700000001.5}
    release(operator, 3, description="Rollback to v1", by="bob", key="desk", subject="Say hello", **moments)

    rows = [row.split() for row in reader("releases", "hello").out.splitlines()]
    assert [row[:2] for row in rows] == [["RELEASE", "STATE"], ["v3", "live"], ["v2", "failed"], ["v1", "old"]]
    assert "Rollback to v1  Say hello  bob" in reader("releases", "hello").out
    assert [row[-1] for row in rows] == ["TOOK", "1.5s", "-", "-"]
    assert reader("releases", "hello", "-n", "1", "--format", "json").json[0] == {
        "release": 3, "state": "live", "pinned": False, "description": "Rollback to v1", "commit": None,
        "subject": "Say hello", "build": None, "by": "bob", "key": "desk", "created_at": "2023-11-14T22:13:20.000Z",
        "live_at": "2023-11-14T22:13:21.500Z", "seconds": 1.5,
    }  # fmt: skip


def test_no_releases_yet(reader: Caller) -> None:
    assert "git push paas:hello main" in reader("releases", "hello").out
    assert reader("releases", "hello", "--format", "json").json == []


@pytest.mark.parametrize(("given", "number"), [([], None), (["v11"], 11), (["11"], 11)])
def test_rollback(deployer: Caller, monkeypatch: pytest.MonkeyPatch, given: list[str], number: int | None) -> None:
    asked: list[int | None] = []

    def rollback(_platform: Any, _app: App, number: int | None, *_: Any) -> Release:
        asked.append(number)
        return Release(number=13, description="Rollback to v11")

    monkeypatch.setattr(deploy, "rollback", rollback)
    assert deployer("rollback", "hello", *given) == Answer(0, "hello v13 is live: Rollback to v11\n", "")
    assert asked == [number]


@pytest.mark.parametrize("text", ["x", "v", "-1", "v1.2", "v0x1", "v99999999999"])
def test_what_is_no_release(deployer: Caller, text: str) -> None:
    assert deployer("rollback", "hello", "--", text).code == 2


def test_narrow_terminals_get_narrow_tables(operator: Caller, reader: Caller) -> None:
    push(operator, subject="A subject that goes on and on and on until it is far too long for this terminal")

    lines = reader.narrow(80)("builds", "hello").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" in lines[1]
