"""domains: the names at which apps answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from gitpaas.apps import aliases, domainname, domains
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option, optional_app_argument
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.config import hosts
from gitpaas.store import App, Domain

_NAMES = click.argument("names", metavar="DOMAIN...", nargs=-1, required=True)


@dataclass(frozen=True)
class _Entry:
    """A name at which an app answers: its own, or one that was added."""

    app: str
    name: str
    url: str | None  # None: the base domain of today has taken it away
    row: Domain | None = None


@command("domains", role="read", scope="seen")
@optional_app_argument
@format_option
def listing(call: Call, app: str | None, style: str) -> None:
    """List the names at which an app answers, or all apps that you may see: its own, and the domains added to it."""
    added = domains.by_app()
    found = [entry for one in call.apps(app) for entry in _entries(call, one, added.get(one.id, ()))]
    if style == "json":
        return call.say_json([_describe(one) for one in found])
    if not found:
        return call.say("No apps that you may see.")
    columns = (Column("APP"), Column("DOMAIN"), Column("URL"), Column("ADDED", text=True))
    call.say(render(columns, [_row(call, one) for one in found], call.console.width))
    if app and len(found) == 1:
        call.say(f"More: {call.program} domains:add {app} www.example.com")
    return None


@command("domains:add", role="deploy", changes=True)
@app_argument
@_NAMES
def add(call: Call, app: str, names: Sequence[str]) -> None:
    """Let an app answer at these names too, at once. *.example.com: every name beneath that no app has for itself."""
    found = call.app(app)
    wanted = [domainname.parsed(name) for name in names]
    call.note(" ".join(wanted))
    fresh = domains.add(call.platform, found, wanted, call.actor)
    for name in dict.fromkeys(wanted):
        shown = domainname.shown(name)
        if name in fresh:
            by_hand = hosts.is_local(name) and not name.startswith("*")  # of which /etc/hosts knows nothing
            found_by = "the DNS or /etc/hosts" if by_hand else "the DNS"
            points = f"once {found_by} has it point to this machine"
            call.say(f"{shown} is {found.name}'s: {call.config.url_of(name)}, {points}.")
        else:
            call.say(f"{shown} is {found.name}'s already.")


@command("domains:remove", role="deploy", changes=True)
@app_argument
@_NAMES
def remove(call: Call, app: str, names: Sequence[str]) -> None:
    """Let an app answer at these names no more, from the next request on. Its own stays."""
    found = call.app(app)
    wanted = list(dict.fromkeys(domainname.parsed(name) for name in names))
    call.note(" ".join(wanted))
    domains.remove(call.platform, found, wanted)
    for name in wanted:
        call.say(f"{domainname.shown(name)} is not {found.name}'s any more.")


def _entries(call: Call, app: App, added: Sequence[Domain]) -> list[_Entry]:
    config = call.config
    own = _Entry(app.name, config.host(app.name), config.url(app.name))
    return [own, *(_Entry(app.name, row.name, _url(call, app, row), row) for row in added)]


def _url(call: Call, app: App, row: Domain) -> str | None:
    return call.config.url_of(row.name) if aliases.is_free(call.config, row.name, app.name) else None


def _row(call: Call, one: _Entry) -> list[str]:
    url = one.url or f"none: names under {call.config.base_domain} are the apps' own"
    added = f"{ago(one.row.created_at)} by {one.row.by}" if one.row else "its own"
    return [one.app, domainname.shown(one.name), url, added]


def _describe(one: _Entry) -> dict[str, object]:
    return {
        "app": one.app,
        "domain": one.name,
        "unicode": domainname.in_unicode(one.name),
        "url": one.url,
        "own": one.row is None,
        "created_at": iso(one.row.created_at) if one.row else None,
        "created_by": one.row.by if one.row else None,
    }


COMMANDS = (listing, add, remove)
