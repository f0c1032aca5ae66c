"""Config vars as the secrets of a build: which ones its steps get, and the hash by which BuildKit sees a change."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from gitpaas.builders.railpack_run import secret_names
from gitpaas.config import Config
from gitpaas.errors import BuildFailed
from gitpaas.values import BuildRequest, Secret


def for_steps(named: Sequence[str], request: BuildRequest) -> dict[str, Secret]:
    """The values that the plan asks for by name. BuildFailed when railpack.json names what is no config var."""
    known = {name: request.env[name] for name in secret_names(request.env)}
    if missing := sorted(set(named) - known.keys()):
        raise BuildFailed(
            f"railpack.json asks for secrets that are not config vars: {', '.join(missing)}",
            step="railpack.json",
            hint=f"Set them and push again: ssh paas config:set {request.app} {missing[0]}=...",
        )
    chosen = {name: known[name] for name in named}
    secrets = {name: value if isinstance(value, Secret) else Secret(value) for name, value in chosen.items()}
    return secrets | ({own_name(request.app): Secret("1")} if secrets else {})


def own_name(app: str) -> str:
    """A variable that no other app's build has."""
    return f"GITPAAS_APP_{app.upper().replace('-', '_')}"


def fingerprint(config: Config, app: str, secrets: Mapping[str, Secret]) -> str:
    """Changes when a value does. It can be seen in BuildKit's records and by the build's own steps, so nobody may find
    out a value by trying: it takes the server's key to compute."""
    values = sorted((name, value.reveal()) for name, value in secrets.items())
    text = json.dumps(["secrets-hash", app, values])
    return hmac.new(_key(config), text.encode(), hashlib.sha256).hexdigest()


def _key(config: Config) -> bytes:
    """The key that config vars are sealed with; where there is none yet, there are no config vars either."""
    return config.secret_key.read_bytes() if config.secret_key.exists() else b"gitpaas"
