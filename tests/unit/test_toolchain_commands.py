"""`toolchain`, `toolchain:install` and `toolchain:check`, over binaries that a test made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from callers import Caller
from toolbox import hello, pins, put

from gitpaas.config import Config
from gitpaas.toolchain import chain
from gitpaas.toolchain.shelf import Shelf


@pytest.fixture(autouse=True)
def only_hello(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A toolchain of one tool, installed, and a BuildKit that is not; runc on PATH or not, as the machine has it."""
    monkeypatch.setattr(chain, "shipped", lambda: pins(hello()))
    config.toolchain.mkdir(parents=True)
    shelf = Shelf(config.toolchain)
    with shelf.scratch() as scratch:
        put(scratch / "made", "hello", "hello 1.0")
        shelf.put(hello(), scratch / "made", "archive")


def test_the_list(admin: Caller, config: Config) -> None:
    lines = admin("toolchain").out.splitlines()
    assert lines[0].split() == ["TOOL", "VERSION", "STATE", "SOURCE", "SIZE"]
    assert lines[1].split() == ["buildkit", "0", "missing", "-", "-"]
    assert lines[2].split() == ["hello", "1.0", "ready", "archive", "0", "MB"]
    assert lines[-1].endswith("gitpaas toolchain:install")

    assert admin("toolchain", "--format", "json").json[1] == {
        "tool": "hello",
        "version": "1.0",
        "state": "ready",
        "source": "archive",
        "path": str(config.toolchain / "hello-1.0"),
        "size": 27,
    }


def test_installing_is_for_the_operator_alone(admin: Caller, deployer: Caller) -> None:
    assert admin("toolchain:install").code == 3
    assert deployer("toolchain").code == 3


def test_installing_what_is_there(operator: Caller) -> None:
    answer = operator("toolchain:install", "hello")

    assert answer.code == 0
    assert answer.out == "-----> Installing hello\nAll there.\n"


def test_installing_what_cannot_be_had(operator: Caller) -> None:
    answer = operator("toolchain:install")

    assert answer.code == 1
    assert "buildkit 0 cannot be had" in answer.err
    assert "put buildkitd into a directory" in answer.err


def test_installing_into_a_directory(operator: Caller, tmp_path: Path) -> None:
    answer = operator("toolchain:install", "hello", "--into", str(tmp_path / "tools"))

    assert answer.code == 0
    assert (tmp_path / "tools/hello").exists()
    assert f"tools = '{tmp_path}/tools'" in answer.out


def test_a_check_of_a_damaged_binary(admin: Caller, config: Config) -> None:
    (config.toolchain / "hello-1.0/hello").write_text("#!/bin/sh\necho 'hello 2.0'\n")

    answer = admin("toolchain:check")
    assert answer.code == 1
    assert "hello      off    changed since it was installed: its checksum differs" in answer.out
    assert " !     Install hello again: gitpaas toolchain:install hello" in answer.out
    assert {
        "tool": "hello",
        "program": "hello",
        "ok": False,
        "text": "changed since it was installed: its checksum differs",
        "hint": "Install hello again: gitpaas toolchain:install hello",
    } in admin("toolchain:check", "--format", "json").json


def test_a_check_of_a_whole_one(operator: Caller, config: Config) -> None:
    folder = config.home.parent / "tools"
    put(folder, "buildkitd", "buildkitd 0")
    put(folder, "runc", "runc 1")
    configured = replace(operator.platform, config=replace(config, tools=str(folder)))

    answer = replace(operator, platform=configured)("toolchain:check")
    assert (answer.code, [line.split()[1] for line in answer.out.splitlines()[1:]]) == (0, ["ok", "ok", "ok"])
