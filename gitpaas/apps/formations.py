"""How many instances of each process type an app is to have: as somebody has scaled it, else as its tree asks, else one
of web and none of the others, as Heroku and Dokku do."""

from __future__ import annotations

from collections.abc import Mapping

from gitpaas.procfile import RELEASE
from gitpaas.store import App, Formation
from gitpaas.values import Artifact


def of(app: App, made: Artifact) -> dict[str, int]:
    """For every process type of an artifact, which may not be live yet. The release phase is none to scale."""
    return filled({row.process: row.quantity for row in Formation.select().where(Formation.app == app)}, first(made))


def first(made: Artifact) -> dict[str, int]:
    """The same before anybody has scaled."""
    scalable = [process for process in made.processes if process != RELEASE]
    return {process: made.formation.get(process, int(process == "web")) for process in scalable}


def filled(chosen: Mapping[str, int], unscaled: Mapping[str, int]) -> dict[str, int]:
    """Of both what counts."""
    return {process: chosen.get(process, quantity) for process, quantity in unscaled.items()}


def scale(app: App, quantities: Mapping[str, int]) -> None:
    """From now on so many. Within a transaction, as keep_first()."""
    for process, quantity in quantities.items():
        Formation.delete().where(Formation.app == app, Formation.process == process).execute()
        Formation.create(app=app, process=process, quantity=quantity)


def keep_first(app: App, made: Artifact) -> None:
    """What an artifact asks for stays so, whatever later ones ask for."""
    for process, quantity in first(made).items():
        Formation.insert(app=app, process=process, quantity=quantity).on_conflict_ignore().execute()
