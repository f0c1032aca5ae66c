"""How Caddy is called, compared word by word."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gitpaas.builders import programs
from gitpaas.config import Config, shipped
from gitpaas.errors import GitpaasError, RouterFailed
from gitpaas.router import command


def test_the_command(tmp_path: Path) -> None:
    assert command.command(Path("/opt/caddy"), "reload") == [
        "/opt/caddy", "reload", "--config", str(shipped("Caddyfile")), "--adapter", "caddyfile",
    ]  # fmt: skip


def test_the_environment_names_every_placeholder_of_the_caddyfile(config: Config) -> None:
    environment = command.environment(config)
    caddyfile = shipped("Caddyfile").read_text()

    assert {name for name in environment if name.startswith("GITPAAS_")} == {
        part.split("}")[0] for part in caddyfile.split("{$")[1:]
    }
    assert environment["GITPAAS_ROUTES"] == "routes"
    assert environment["GITPAAS_CADDY_ADMIN"] == "caddy/admin.sock"


def test_the_binary_of_the_wheel_is_found_with_an_empty_path() -> None:
    assert os.access(command.find_binary(path=""), os.X_OK)


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "files", missing)


@pytest.mark.usefixtures("no_wheel")
def test_without_the_wheel_the_one_on_the_path_serves(tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "caddy")

    assert command.find_binary(str(tmp_path)) == (tmp_path / "caddy").resolve()
    with pytest.raises(RouterFailed, match="not installed"):
        command.find_binary(path="")


@pytest.mark.usefixtures("no_wheel")
def test_static_sites_are_served_by_that_one_too(config: Config, tmp_path: Path) -> None:
    with pytest.raises(GitpaasError, match="not installed"):
        programs.caddy(replace(config, environ={"PATH": ""}))
    shutil.copy("/bin/true", tmp_path / "caddy")

    copy = programs.caddy(replace(config, environ={"PATH": str(tmp_path)}))
    assert copy.is_relative_to(config.toolchain)
    assert copy.read_bytes() == Path("/bin/true").read_bytes()
