"""How an app looks: what is intended of it, what runs, and where its requests go. What follows from that alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gitpaas.apps import holding
from gitpaas.instances.plan import Plan, plan
from gitpaas.releases.intents import Intent
from gitpaas.values import Instance, Page, Survey

Route = tuple[str, ...] | Page | None


class Sight(NamedTuple):
    """All that decides whether something is to be done about an app."""

    intent: Intent | None
    instances: tuple[Instance, ...]
    route: Route


def is_unseen(intent: Intent | None, survey: Survey) -> bool:
    """Whether the live release's instances may run all the same: then the app is left exactly as it is."""
    outline = intent.outline if intent else None
    return outline is not None and outline.kind in survey.unseen


def plan_of(intent: Intent, instances: Sequence[Instance], route: Route) -> Plan:
    return plan(intent.number, intent.wanted, instances, addresses(route))


def former(intent: Intent, todo: Plan, route: Route) -> list[Instance]:
    """Who serves though an older release's: the switch to the live one was never made. Not who was told to stop."""
    if not intent.wanted.get("web"):
        return []
    serving = [i for i in todo.retire if i.state == "running" and i.address in addresses(route)]
    return [i for i in serving if not holding.is_held(intent.app, i.process, i.number)]


def addresses(route: Route) -> tuple[str, ...]:
    return route if isinstance(route, tuple) else ()


def page(intent: Intent, todo: Plan) -> Page:
    """What a host without a serving instance says."""
    if intent.outline is None:
        return "empty"
    if not intent.wanted.get("web"):
        return "stopped"
    crashed = any(m.process == "web" and m.last for m in todo.missing)
    return "crashed" if crashed or any(i.restarts and i.address for i in todo.keep) else "starting"
