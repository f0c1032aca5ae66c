"""Credentials of private registries, in a config.json as Docker's own programs write and read it.

{"auths": {HOST: {"auth": base64 of user:password}}}; github.com/docker/cli, cli/config/types/authconfig.go.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping

from gitpaas import locks
from gitpaas.config import Config
from gitpaas.errors import BadConfig, UsageError
from gitpaas.values import Secret

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?")
_HUB = "docker.io"
_HUBS_OTHER_NAMES = {"index.docker.io", "registry-1.docker.io", "hub.docker.com", "registry.hub.docker.com"}
_HUBS_KEY = "https://index.docker.io/v1/"  # for historical reasons the one that is no host


def host(text: str) -> str:
    """The registry's name as it stands in image references, or UsageError."""
    name = text.removeprefix("https://").removesuffix("/").removesuffix("/v1").removesuffix("/v2").lower()
    if not _HOST.fullmatch(name):
        raise UsageError(
            f"{text[:80]!r} is not a registry.", "Give its host, as image names have it: ghcr.io, docker.io"
        )
    return _HUB if name in _HUBS_OTHER_NAMES else name


def keep(config: Config, registry: str, user: str, password: Secret) -> None:
    """Builds log in there from now on. UsageError for what a registry could not understand."""
    if not user or ":" in user or not user.isprintable():
        raise UsageError(f"{user[:80]!r} is not a user name.", "It has no colon, and something in it.")
    if not password.reveal() or not password.reveal().isprintable():
        raise UsageError("That is not a password: it is empty or has more than one line.")
    auth = base64.b64encode(f"{user}:{password.reveal()}".encode()).decode()
    with locks.held(config.locks / "registries"):
        _write(config, {**_read(config), _key(registry): {"auth": auth}})


def forget(config: Config, registry: str) -> bool:
    """Whether there was something to forget."""
    with locks.held(config.locks / "registries"):
        auths = dict(_read(config))
        known = auths.pop(_key(registry), None) is not None
        if known:
            _write(config, auths)
        return known


def known(config: Config) -> dict[str, str]:
    """The user by the registry's host, sorted; no passwords."""
    return dict(sorted((_HUB if key == _HUBS_KEY else key, _user(entry)) for key, entry in _read(config).items()))


def _key(registry: str) -> str:
    return _HUBS_KEY if registry == _HUB else registry


def _user(entry: Mapping[str, str]) -> str:
    try:
        return base64.b64decode(entry["auth"], validate=True).decode().partition(":")[0]
    except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
        return "?"


def _read(config: Config) -> Mapping[str, Mapping[str, str]]:
    path = config.registry_credentials / "config.json"
    try:
        auths = json.loads(path.read_text()).get("auths", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise BadConfig(f"{path} cannot be read: {error}", "Remove it, and log in again.") from error
    return auths if isinstance(auths, dict) else {}


def _write(config: Config, auths: Mapping[str, Mapping[str, str]]) -> None:
    """In one step: a build that reads it meanwhile sees the old or the new."""
    folder = config.registry_credentials
    folder.mkdir(exist_ok=True, mode=0o700)
    fresh = folder / ".config.json.new"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"auths": dict(auths)}, file, indent=2)
    fresh.rename(folder / "config.json")
