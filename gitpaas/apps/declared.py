"""Config vars that a tree's app.json declares. As Heroku does, the first deploy alone takes them up: what people
set or removed since is theirs. What a later commit requires is told, and whoever runs the app decides."""

from __future__ import annotations

from collections.abc import Iterable

from gitpaas.appjson import AppJson
from gitpaas.apps import configvars
from gitpaas.errors import BuildFailed
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.store import App


def take_up(platform: Platform, app: App, manifest: AppJson, out: Output) -> None:
    """Defaults and generated secrets become config vars. BuildFailed when one that is required has neither a default
    nor been set."""
    known = configvars.current(platform, app)
    for name in manifest.provided():
        out.warn(f"app.json: {name} is given by the platform, so what is said of it there is not used.")
    if missing := manifest.missing(known):
        for variable in missing:
            out.detail(f"{variable.name}: {variable.description}" if variable.description else variable.name)
        names = [variable.name for variable in missing]
        raise BuildFailed(
            f"app.json requires config vars that are not set: {', '.join(names)}",
            step="config",
            hint=f"Set them and push again: {_command(app, names)}",
        )
    if added := configvars.add(platform, app, manifest.defaults(known)):
        out.step(f"Config vars from app.json: {', '.join(added)}")


def tell(platform: Platform, app: App, manifest: AppJson, out: Output) -> None:
    """On a later deploy: what the app requires and does not have. It is deployed all the same."""
    if names := manifest.unset(configvars.current(platform, app)):
        out.warn(f"app.json requires config vars that are not set: {', '.join(names)}")
        out.warn(f"Only the first deploy takes them from there. Set them: {_command(app, names)}")


def _command(app: App, names: Iterable[str]) -> str:
    return f"ssh paas config:set {app.name} {' '.join(f'{name}=...' for name in names)}"
