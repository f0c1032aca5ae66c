"""releases:info, :output, :pin, :unpin, and rollback with and without a build."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from callers import Caller

from gitpaas import deploy, receive
from gitpaas.errors import NotKept
from gitpaas.logs import ReleaseLog
from gitpaas.store import App, Release
from gitpaas.values import Artifact


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")


def release(caller: Caller, number: int, config: dict[str, str], slug: str = "1", **fields: Any) -> Release:
    """A live one, unless its status says otherwise; `slug` tells its directory."""
    path = caller.platform.config.slug("hello", int(slug))
    path.mkdir(parents=True, exist_ok=True)
    processes = fields.pop("processes", {"web": "run"})
    made = Artifact(kind="slug", reference=str(path), builder="slug", label="Python 3.11", processes=processes, size=42)
    with caller.platform.store.session():
        app = App.get(App.name == "hello")
        given: dict[str, Any] = {
            "description": f"Deploy {number}", "artifact": json.dumps(asdict(made)), "by": "alice", "status": "live",
            "config": caller.platform.store.seal.close(json.dumps(config)), "commit": str(number) * 40,
            "subject": "Say hello", "formation": '{"web": 1}',
        }  # fmt: skip
        found = Release.create(app=app, number=number, **(given | fields))
        if found.status == "live":
            App.update(release=number).where(App.id == app.id).execute()
        return found


def test_info_tells_what_changed_and_no_value(operator: Caller, reader: Caller) -> None:
    release(
        operator, 1, {"GONE": "hidden-1", "KEPT": "hidden-2", "OTHER": "hidden-3"}, processes={"web": "a", "old": "b"}
    )
    release(operator, 2, {"KEPT": "hidden-2", "OTHER": "hidden-4", "FRESH": "hidden-5"}, slug="2", key="laptop",
            processes={"web": "c", "worker": "d"}, formation='{"web": 2}', description="Deploy 2222222")  # fmt: skip

    out = reader("releases:info", "hello").out
    assert "hidden" not in out
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert ["Release", "v2"] in lines
    assert ["State", "live"] in lines
    assert ["Commit", "222222222222 Say hello"] in lines
    assert ["By", 'alice, key "laptop"'] in lines
    assert ["Config", "FRESH KEPT OTHER"] in lines
    assert ["Formation", "web=2"] in lines
    assert out.endswith(
        "Since v1    commit 1111111 to 2222222\n"
        "            another slug\n"
        "            config added: FRESH\n"
        "            config removed: GONE\n"
        "            config changed: OTHER\n"
        "            process added: worker\n"
        "            process removed: old\n"
        "            process changed: web\n"
        "            web=1 to web=2\n"
    )
    shown = reader("releases:info", "hello", "--format", "json")
    assert "hidden" not in shown.out
    assert shown.json["difference"] == {
        "since": 1, "commits": ["1" * 40, "2" * 40], "artifact": True, "formation": {"web": [1, 2]},
        "config": {"added": ["FRESH"], "removed": ["GONE"], "changed": ["OTHER"]},
        "processes": {"added": ["worker"], "removed": ["old"], "changed": ["web"]},
    }  # fmt: skip
    assert shown.json["kept"] is True


def test_info_of_the_first_of_the_same_and_of_none(operator: Caller, reader: Caller) -> None:
    assert "git push paas:hello main" in reader("releases:info", "hello").err
    release(operator, 1, {})
    release(operator, 2, {}, commit="1" * 40)

    assert "Changed     nothing was live before\n" in reader("releases:info", "hello", "v1").out
    assert "Since v1    nothing\n" in reader("releases:info", "hello", "2").out
    assert reader("releases:info", "hello", "v1", "--format", "json").json["difference"] is None
    assert (reader("releases:info", "hello", "v0").code, reader("releases:info", "hello", "v7").code) == (1, 1)


def test_info_says_whether_a_rollback_needs_a_build(operator: Caller, reader: Caller) -> None:
    release(operator, 1, {})
    assert ", kept\n" in reader("releases:info", "hello", "v1").out

    operator.platform.config.slug("hello", 1).rmdir()

    assert "not kept: a rollback builds it again" in reader("releases:info", "hello", "v1").out


def test_output_of_the_latest_or_of_one(operator: Caller, reader: Caller) -> None:
    first, failed = release(operator, 1, {}), release(operator, 2, {}, status="failed")
    ReleaseLog(operator.platform.config.release_log("hello", failed.id)).write(b"-----> Release phase: migrate\n")

    assert reader("releases:output", "hello").out == "-----> Release phase: migrate\n"
    assert "Nothing is kept of v1" in reader("releases:output", "hello", "v1").out
    assert reader("releases:output", "hello", "v2", "--format", "json").json["output"].endswith("migrate\n")
    assert first.number == 1


def test_pin_and_unpin(operator: Caller, deployer: Caller, reader: Caller) -> None:
    release(operator, 1, {})
    release(operator, 2, {}, slug="2")

    assert deployer("releases:pin", "hello", "v1").code == 0
    assert "v1       old pinned" in reader("releases", "hello").out
    assert reader("releases:unpin", "hello", "v1").code == 3
    assert deployer("releases:unpin", "hello", "v1").code == 0
    assert "pinned" not in reader("releases", "hello").out


def test_what_cannot_be_pinned(operator: Caller, deployer: Caller) -> None:
    release(operator, 1, {})
    release(operator, 2, {}, status="failed")
    operator.platform.config.slug("hello", 1).rmdir()

    assert "ssh paas rollback hello v1" in deployer("releases:pin", "hello", "v1").err
    assert "never went live" in deployer("releases:pin", "hello", "v2").err


@pytest.mark.parametrize(("built", "code"), [(0, 0), (1, 1), (13, 1)])
def test_rollback_to_what_is_not_kept_builds_it(
    deployer: Caller, monkeypatch: pytest.MonkeyPatch, built: int, code: int
) -> None:
    def gone(*_: Any) -> Release:
        raise NotKept("Gone.", release=11)

    asked: list[int] = []

    def rebuild(*_: Any, restores: int) -> int:
        asked.append(restores)
        return built

    monkeypatch.setattr(deploy, "rollback", gone)
    monkeypatch.setattr(receive, "rebuild", rebuild)

    assert deployer("rollback", "hello").code == code
    assert asked == [11]


def test_log_that_becomes_too_large_keeps_its_start_and_its_end(tmp_path: Path) -> None:
    log = ReleaseLog(tmp_path / "1.log")
    for number in range(300_000):
        log.write(b"line %06d\n" % number)
    log.write(b"x" * 3_000_000 + b"\nlast\n")
    log.close()

    text = (tmp_path / "1.log").read_bytes()

    assert text.startswith(b"line 000000\nline 000001\n")
    assert b"\n... lines left out ...\n" in text
    assert text.endswith(b"\nlast\n")
    assert len(text) <= 1024 * 1024 + 64
    assert (tmp_path / "1.log").stat().st_mode & 0o777 == 0o600
