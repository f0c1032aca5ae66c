"""How Caddy is called, compared word by word."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path

import pytest

from gitpaas.config import Config, shipped
from gitpaas.errors import RouterFailed
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


def test_without_the_wheel_the_one_on_the_path_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "files", missing)
    shutil.copy("/bin/true", tmp_path / "caddy")

    assert command.find_binary(str(tmp_path)) == (tmp_path / "caddy").resolve()
    with pytest.raises(RouterFailed, match="not installed"):
        command.find_binary(path="")
