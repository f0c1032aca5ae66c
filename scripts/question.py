"""What is asked before everything is removed: once, of who sits at a terminal."""

from __future__ import annotations

import sys

import sample
import sshconfig
from place import CLONE, Failed, Place, shown

from gitpaas.platform import build_platform, choose
from gitpaas.store import App

_NAMED = 8  # apps


def ask(place: Place) -> None:
    """Say what will be removed, and Failed unless it may. Scripts are not asked, nor is who has nothing to lose."""
    doomed = _doomed(place)
    if not doomed or not sys.stdin.isatty():
        return
    print("This removes, and there is no way back:")
    for line in (*doomed, shown(CLONE / ".venv")):
        print(f"  {line}")
    try:
        answer = input("Go on? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise Failed("Nothing was removed, and nothing stopped.")


def _doomed(place: Place) -> list[str]:
    lines = []
    if place.config.database.exists():
        lines.append(f"{shown(place.config.home)}: {_apps(place)}")
        if choose(place.config).name == "docker":
            lines.append("in Docker Engine: their containers, images, networks and volumes")
    if place.sample.exists() and sample.is_ours(place):
        lines.append(f"{shown(place.sample)}: the sample app as you have it")
    if sshconfig.has(place.home / ".ssh" / "config", place.known_hosts):
        lines.append(f"the Host paas block in {shown(place.home / '.ssh' / 'config')}")
    return lines


def _apps(place: Place) -> str:
    platform = build_platform(place.config)
    with platform.store.session():
        names = [str(app.name) for app in App.select().order_by(App.name)]
    platform.store.close()
    if not names:
        return "keys and settings; it has no app"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    what = "source, releases, config vars, logs and storage"
    return f"{', '.join(names[:_NAMED])}{more}, with {what}; keys and settings"
