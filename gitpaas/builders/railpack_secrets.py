"""Config vars as the secrets of a build: which ones its steps get."""

from __future__ import annotations

from collections.abc import Sequence

from gitpaas.builders.railpack_run import secret_names
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
    return {name: value if isinstance(value, Secret) else Secret(value) for name, value in chosen.items()}


def own_name(app: str) -> str:
    """A variable that no other app's build has."""
    return f"GITPAAS_APP_{app.upper().replace('-', '_')}"
