"""Volumes of an app: they outlive its releases, and go when it is destroyed."""

from __future__ import annotations

from gitpaas.engine import Engine


def remove(engine: Engine, app: str) -> None:
    """All of an app, with what is in them."""
    with engine.calls(f"listing the volumes of {app}"):
        found = engine.api.volumes(filters=engine.filters(app=app))["Volumes"] or []
    for volume in found:
        with engine.calls(f"removing {volume['Name']}", missing_ok=True):
            engine.api.remove_volume(volume["Name"], force=True)
