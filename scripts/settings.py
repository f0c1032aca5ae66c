"""What the environment says of where the server listens, what runs the apps, as whom, and where images come from, kept
in gitpaas.toml: the next shell knows nothing of it."""

from __future__ import annotations

import json
import re

from gitpaas.config import Config, load

_KEPT = (
    "bind", "ssh_port", "http_port", "base_domain",
    "https_port", "https_redirect", "acme_directory", "acme_email", "acme_root", "trusted_proxies",
    "runtime", "docker_host", "app_networks", "app_ports", "app_uid_base", "registry_mirrors", "insecure_registries",
    "image_registry", "tools",
)  # fmt: skip


def overruled(config: Config) -> list[str]:
    """The names of those settings of which a variable says something else than the file."""
    plain = {name: value for name, value in config.environ.items() if name not in map(_variable, _KEPT)}
    written = load(plain)
    return [
        name for name in _KEPT if _variable(name) in config.environ and getattr(config, name) != getattr(written, name)
    ]


def keep(config: Config) -> list[str]:
    """Write them into the file. Returns their names."""
    if changed := overruled(config):
        path = config.home / "gitpaas.toml"
        text = path.read_text() if path.exists() else ""
        for name in changed:
            text = _put(text, name, f"{name} = {json.dumps(_value(config, name))}")
        path.write_text(text)
    return changed


def _value(config: Config, name: str) -> str | int:
    """Numbers stay numbers; whatever else is written as its variable has it."""
    value = getattr(config, name)
    return value if isinstance(value, int) else config.environ[_variable(name)]


def _put(text: str, name: str, line: str) -> str:
    """In place of the setting's own line, else before all others: below there may be tables."""
    own = re.compile(rf"^[ \t]*{name}[ \t]*=.*$", re.MULTILINE)
    return own.sub(line, text, count=1) if own.search(text) else f"{line}\n{text}"


def _variable(name: str) -> str:
    return f"GITPAAS_{name.upper()}"
