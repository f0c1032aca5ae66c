"""What of an app was told to stop while the rest of it runs: process types ("worker") and single instances ("web.2").

Kept with the app, so that neither a deploy nor a restart of the server starts them. A type that is held stays so
however it is scaled; a single instance is forgotten when the app is scaled to fewer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from gitpaas import apps
from gitpaas.errors import Conflict, UsageError
from gitpaas.names import instance_name
from gitpaas.store import App

Formation = Mapping[str, int]  # how many of each process type there should be
Copies = Mapping[str, tuple[int, ...]]  # and the numbers of those that are meant


def names(app: App) -> frozenset[str]:
    """What is held, while the app as a whole is not stopped."""
    return frozenset(json.loads(app.held))


def is_held(app: App, process: str, number: int) -> bool:
    held = names(app)
    return app.stopped or process in held or f"{process}.{number}" in held


def wanted(app: App, formation: Formation) -> dict[str, tuple[int, ...]]:
    """The copies that should run: every type of the formation, without what is held."""
    if app.stopped:
        return {}
    everything = copies(app, formation)
    return {process: tuple(n for n in own if not is_held(app, process, n)) for process, own in everything.items()}


def copies(app: App, formation: Formation, name: str | None = None) -> dict[str, tuple[int, ...]]:
    """All that `name` means: a process type, one instance, or (None) everything. UsageError says what there is."""
    if name is None:
        return {process: tuple(range(1, quantity + 1)) for process, quantity in formation.items()}
    process, number = instance_name(name)
    if process not in formation:
        hint = f"It has: {', '.join(sorted(formation))}." if formation else "Push it first."
        raise UsageError(f"{app.name} has no process type {process!r}.", hint)
    every = tuple(range(1, formation[process] + 1))
    if number is None:
        return {process: every}
    if number not in every:
        raise UsageError(f"{app.name} has no instance {name}.", _what_there_is(app, process, every))
    return {process: (number,)}


def hold(app: App, formation: Formation, name: str | None) -> bool:
    """From now on it is to stand still; False when it did already. Within a transaction."""
    now = apps.now(app)
    meant = copies(now, formation, name)
    if name is None:
        App.update(stopped=True).where(App.id == now.id).execute()
        return not now.stopped
    ((process, _),) = meant.items()
    if now.stopped or process in names(now) or name in names(now):
        return False
    rest = names(now) if name != process else _without(now, process)
    _keep(now, rest | {name})
    return True


def let_go(app: App, formation: Formation, name: str | None) -> bool:
    """It is to run again; False when it was not held. Within a transaction.

    Of an app that is stopped as a whole, or a type that is, nothing else starts with it."""
    now = apps.now(app)
    meant = copies(now, formation, name)
    if name is None:
        App.update(stopped=False, held="[]").where(App.id == now.id).execute()
        return now.stopped or bool(names(now))
    ((process, numbers),) = meant.items()
    own = {f"{process}.{number}" for number in copies(now, formation, process)[process] if number not in numbers}
    held = {label for label in own if is_held(now, process, int(label.rpartition(".")[2]))}
    others = set(formation) - {process} if now.stopped else _without(now, process)
    App.update(stopped=False).where(App.id == now.id).execute()
    _keep(now, others | held)
    return now.stopped or process in names(now) or any(f"{process}.{number}" in names(now) for number in numbers)


def forget_beyond(app: App, formation: Formation) -> None:
    """Single instances that the app has no more are not held either: scaled up again, they start."""
    now = apps.now(app)
    targets = {name: instance_name(name) for name in names(now)}
    kept = {
        name for name, (process, number) in targets.items() if number is None or number <= formation.get(process, 0)
    }
    if kept != names(now):
        _keep(now, kept)


def require_running(app: App, formation: Formation, name: str | None) -> None:
    """Conflict when all that `name` means stands still."""
    meant = [(process, number) for process, own in copies(app, formation, name).items() for number in own]
    if name is not None and not meant:
        raise Conflict(f"{name} is scaled to 0.", f"Start some: ssh paas ps:scale {app.name} {name}=1")
    if meant and all(is_held(app, process, number) for process, number in meant):
        what = " ".join(filter(None, (app.name, name)))
        raise Conflict(f"{name or app.name} is stopped.", f"Start it: ssh paas ps:start {what}")


def _what_there_is(app: App, process: str, every: tuple[int, ...]) -> str:
    if not every:
        return f"{process} is scaled to 0: ssh paas ps:scale {app.name} {process}=1"
    last = f" to {process}.{every[-1]}" if len(every) > 1 else ""
    return f"There is: {process}.1{last}."


def _without(app: App, process: str) -> frozenset[str]:
    return frozenset(name for name in names(app) if instance_name(name)[0] != process)


def _keep(app: App, held: frozenset[str] | set[str]) -> None:
    App.update(held=json.dumps(sorted(held))).where(App.id == app.id).execute()
