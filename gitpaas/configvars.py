"""Config vars: an app's environment as people set it, sealed at rest; and the copy of it that each release has."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gitpaas.platform import Platform
from gitpaas.store import App, ConfigVar, Release
from gitpaas.values import Secret


def current(platform: Platform, app: App) -> dict[str, Secret]:
    """Today's config vars by name."""
    rows = ConfigVar.select().where(ConfigVar.app == app).order_by(ConfigVar.name)
    return {row.name: Secret(platform.store.seal.open(row.value)) for row in rows}


def of_release(platform: Platform, release: Release) -> dict[str, Secret]:
    """Those that a release was made with."""
    opened: dict[str, str] = json.loads(platform.store.seal.open(release.config))
    return {name: Secret(value) for name, value in opened.items()}


def sealed(platform: Platform, app: App) -> str:
    """Today's, as a release keeps them."""
    return platform.store.seal.close(json.dumps(_revealed(current(platform, app))))


def change(platform: Platform, app: App, changes: Mapping[str, str | None]) -> None:
    """Set (a text) or unset (None) config vars, all or none of them."""
    with platform.store.transaction():
        for name, value in changes.items():
            ConfigVar.delete().where(ConfigVar.app == app, ConfigVar.name == name).execute()
            if value is not None:
                ConfigVar.create(app=app, name=name, value=platform.store.seal.close(value))


def restore(platform: Platform, app: App, release: Release) -> None:
    """The app's config vars are those of this release again: a rollback goes back with both, code and config."""
    then = _revealed(of_release(platform, release))
    change(platform, app, {**dict.fromkeys(current(platform, app)), **then})


def _revealed(variables: Mapping[str, Secret]) -> dict[str, str]:
    return {name: value.reveal() for name, value in variables.items()}
