"""Volumes of an app: they outlive its releases, and go when it is destroyed."""

from __future__ import annotations

from typing import Any

from gitpaas.engine import Engine
from gitpaas.errors import Conflict, EngineFailed

_IN_USE = 409


def names(engine: Engine, app: str) -> list[str]:
    """As the app's people call them, sorted."""
    return sorted(volume["Labels"]["gitpaas.volume"] for volume in _found(engine, app=app))


def remove(engine: Engine, app: str, name: str) -> None:
    """One of them, with what is in it. Conflict while a container has it, even one that has ended."""
    for volume in _found(engine, app=app, volume=name):
        try:
            _remove(engine, volume["Name"])
        except EngineFailed as error:
            if error.status == _IN_USE:
                raise Conflict(
                    f"An instance of {app} still has {name}.",
                    f"One that drains lets go of it in a moment; any other is replaced by ps:restart {app}",
                ) from error
            raise


def remove_all(engine: Engine, app: str) -> None:
    """All of an app, with what is in them."""
    for volume in _found(engine, app=app):
        _remove(engine, volume["Name"])


def _found(engine: Engine, **labels: str) -> list[dict[str, Any]]:
    with engine.calls(f"listing the volumes of {labels['app']}"):
        return list(engine.api.volumes(filters=engine.filters(**labels))["Volumes"] or [])


def _remove(engine: Engine, name: str) -> None:
    with engine.calls(f"removing {name}", missing_ok=True):
        engine.api.remove_volume(name, force=True)
