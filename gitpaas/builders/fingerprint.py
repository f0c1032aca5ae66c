"""The hash by which BuildKit sees that a secret has changed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

from gitpaas.config import Config
from gitpaas.values import Secret


def fingerprint(config: Config, app: str, secrets: Mapping[str, Secret]) -> str:
    """Changes when a value does. It can be seen in BuildKit's records and by the build's own steps, so nobody may find
    out a value by trying: it takes the server's key to compute."""
    values = sorted((name, value.reveal()) for name, value in secrets.items())
    text = json.dumps(["secrets-hash", app, values])
    return hmac.new(_key(config), text.encode(), hashlib.sha256).hexdigest()


def _key(config: Config) -> bytes:
    """The key that config vars are sealed with; where there is none yet, there are no config vars either."""
    return config.secret_key.read_bytes() if config.secret_key.exists() else b"gitpaas"
