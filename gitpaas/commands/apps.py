"""apps: make, list, show and remove them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from gitpaas.apps import domainname, domains, holding, options
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option
from gitpaas.commands.table import UNSEEN, Column, ago, iso, render
from gitpaas.errors import UsageError
from gitpaas.store import App, Domain
from gitpaas.values import Instance, Survey


@command("apps", role="read", scope="seen")
@format_option
def listing(call: Call, style: str) -> None:
    """List the apps that you may see, what runs of each, and where it answers."""

    seen = call.platform.runtime.survey()
    added = domains.by_app()
    found = [describe(call, app, seen, added.get(app.id, ())) for app in call.apps()]
    if style == "json":
        return call.say_json(found)
    if seen.unseen:
        call.say(UNSEEN)
    if not found:
        more = "yet. A push makes one: git push paas:NAME main" if call.may("read") else "that you may see."
        call.say(f"No apps {more}")
    else:
        columns = (Column("APP"), Column("STATE"), Column("RELEASE"), Column("RUNNING", text=True), Column("URL"))
        call.say(render(columns, [_row(app) for app in found], call.console.width))
    return None


@command("apps:create", role="deploy", scope="all", changes=True)
@app_argument
def create(call: Call, app: str) -> None:
    """Make an app before its first push. Its name is a DNS label: small letters, digits, dashes."""
    from gitpaas import apps

    made = apps.create(call.platform, app, call.actor)
    call.say(f"{made.name} is there. It will answer at {call.config.url(made.name)}")
    call.say(f"Push to it: git push paas:{made.name} main")


@command("apps:info", role="read")
@app_argument
@format_option
def info(call: Call, app: str, style: str) -> None:
    """Show one app: release, processes, branch, age."""
    found = call.app(app)
    shown = describe(call, found, call.platform.runtime.survey(found.name), domains.of(found))
    if style == "json":
        return call.say_json(shown)
    for label, value in _lines(found, shown):
        call.say(f"{label:<12}{value}")
    return None


@command("apps:destroy", role="admin", changes=True)
@app_argument
@click.option("--confirm", metavar="APP", help="The app's name again: there is no way back.")
def destroy(call: Call, app: str, confirm: str | None) -> None:
    """Stop an app and delete everything of it: source, releases, config vars, domains, logs."""
    from gitpaas import apps

    found = call.app(app)
    if confirm != found.name:
        raise UsageError(
            f"This deletes {found.name}: source, releases, config vars, domains and logs. There is no way back.",
            f"To do it: {call.program} apps:destroy {found.name} --confirm {found.name}",
        )
    apps.destroy(call.platform, found)
    call.say(f"{found.name} is gone.")


def describe(call: Call, app: App, seen: Survey, added: Sequence[Domain]) -> dict[str, Any]:
    """An app as JSON shows it to whoever asks: arguments of builds may be secrets all the same."""
    told = options.written(options.of_builds(app))
    if not call.may("deploy", app.name):
        told = {key: "(hidden)" if key.startswith("arg:") else value for key, value in told.items()}
    own = [instance for instance in seen.instances if instance.app == app.name and instance.one_off is None]
    names = {(instance.process, instance.number) for instance in own if instance.state == "running"}
    running = Counter(process for process, _ in names)  # beside web.1 its predecessor may still end what it was asked
    return {
        "name": app.name,
        "url": call.config.url(app.name),
        "domains": [row.name for row in added],
        "state": _state(app, own, bool(seen.unseen)),
        "release": app.release,
        "running": dict(sorted(running.items())),
        "maintenance": app.maintenance,
        "deploy_branch": app.deploy_branch,
        "build_options": told,
        "run_options": options.written(options.of_instances(app)),
        "created_at": iso(app.created_at),
        "created_by": app.created_by,
    }


def _state(app: App, instances: Sequence[Instance], blind: bool) -> str:
    if app.release is None:
        return "empty"
    if app.stopped:
        return "stopped"
    if app.maintenance:
        return "maintenance"
    if any(instance.state == "running" for instance in instances):
        return "running"
    if instances or blind:
        return "crashed" if instances else "unknown"
    return "stopped" if holding.names(app) else "idle"


def _row(app: dict[str, Any]) -> list[str]:
    return [app["name"], app["state"], _version(app), _counts(app), app["url"]]


def _lines(app: App, shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("App", shown["name"]),
        ("URL", shown["url"]),
        *([("Domains", " ".join(map(domainname.shown, shown["domains"])))] if shown["domains"] else []),
        ("State", shown["state"]),
        ("Release", _version(shown)),
        ("Running", _counts(shown)),
        ("Branch", shown["deploy_branch"] or "main or master, whichever is pushed first"),
        *_chosen(shown),
        ("Created", f"{ago(app.created_at)} by {app.created_by}"),
    ]


def _chosen(shown: dict[str, Any]) -> list[tuple[str, str]]:
    """What builds:set and ps:set were told."""
    told = (("Builds", shown["build_options"]), ("Instances", shown["run_options"]))
    return [(label, " ".join(f"{key}={value}" for key, value in pairs.items())) for label, pairs in told if pairs]


def _version(app: dict[str, Any]) -> str:
    return f"v{app['release']}" if app["release"] else "-"


def _counts(app: dict[str, Any]) -> str:
    return " ".join(f"{process}={count}" for process, count in app["running"].items()) or "-"


COMMANDS = (listing, create, info, destroy)
