"""Config vars: an app's environment as people set it, sealed at rest; and the copy of it that each release has."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gitpaas.errors import BadConfig, UsageError
from gitpaas.platform import Platform
from gitpaas.store import App, ConfigVar, Release
from gitpaas.values import Secret

_MOST_BYTES = 1_000_000  # Linux takes 2 MiB for a program's environment and arguments together, by default


def current(platform: Platform, app: App) -> dict[str, Secret]:
    """Today's config vars by name."""

    def look() -> dict[str, Secret]:
        rows = ConfigVar.select().where(ConfigVar.app == app).order_by(ConfigVar.name)
        return {row.name: Secret(platform.store.seal.open(row.value)) for row in rows}

    try:
        return look()
    except BadConfig:  # the key was changed between the rows and it
        return look()


def of_release(platform: Platform, release: Release) -> dict[str, Secret]:
    """Those that a release was made with."""
    try:
        text = platform.store.seal.open(release.config)
    except BadConfig:
        row = Release.get_or_none(Release.id == release.id)
        if row is None or row.config == release.config:
            raise
        text = platform.store.seal.open(row.config)  # the key was changed since this one was read
    return {name: Secret(value) for name, value in json.loads(text).items()}


def sealed(platform: Platform, app: App, source: Release | None = None) -> str:
    """Today's, or those of `source`, as a release keeps them. Within the transaction that writes them."""
    variables = current(platform, app) if source is None else of_release(platform, source)
    return platform.store.seal.close(json.dumps(_revealed(variables)))


def change(platform: Platform, app: App, changes: Mapping[str, str | None], *, replace: bool = False) -> None:
    """Set (a text) or unset (None) config vars, all or none of them; with `replace`, unset all others too."""
    with platform.store.transaction():
        if replace:
            ConfigVar.delete().where(ConfigVar.app == app, ConfigVar.name.not_in(list(changes))).execute()
        for name, value in changes.items():
            ConfigVar.delete().where(ConfigVar.app == app, ConfigVar.name == name).execute()
            if value is not None:
                ConfigVar.create(app=app, name=name, value=platform.store.seal.close(value))


def require_size(platform: Platform, app: App) -> None:
    """UsageError when today's are more than the kernel lets a program have, with what the platform and builds add."""
    taken = sum(len(name) + len(value.reveal().encode()) + 2 for name, value in current(platform, app).items())
    if taken > _MOST_BYTES:
        raise UsageError(
            f"All config vars of an app together have at most {_MOST_BYTES} bytes; these would have {taken}.",
            "Keep larger values in a file: storage:mount",
        )


def not_live(platform: Platform, app: App, live: Release) -> list[str]:
    """Names of what was set, changed or removed, and has not been in a release that came up since."""
    return sorted(_waiting(platform, app, live))


def restore(platform: Platform, app: App, release: Release, live: Release | None) -> None:
    """The app's config vars are those of this release again: a rollback goes back with both, code and config. What was
    not live yet goes on waiting for the next release: its values are nowhere else."""
    waiting = _waiting(platform, app, live) if live else {}
    change(platform, app, {**_revealed(of_release(platform, release)), **waiting}, replace=True)


def add(platform: Platform, app: App, defaults: Mapping[str, str]) -> list[str]:
    """Set those that are not there yet; their names. What people set at the same moment stays theirs."""
    with platform.store.transaction():
        there = {row.name for row in ConfigVar.select(ConfigVar.name).where(ConfigVar.app == app)}
        added = {name: value for name, value in defaults.items() if name not in there}
        change(platform, app, added)
    return sorted(added)


def _waiting(platform: Platform, app: App, live: Release) -> dict[str, str | None]:
    """The changes (None: removed) that the next release will bring."""
    now, then = current(platform, app), of_release(platform, live)
    names = {name for name in now.keys() | then.keys() if now.get(name) != then.get(name)}
    return {name: now[name].reveal() if name in now else None for name in names}


def _revealed(variables: Mapping[str, Secret]) -> dict[str, str]:
    return {name: value.reveal() for name, value in variables.items()}
