"""access: what people may do with one app, or with all, besides what the roles of their keys allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import click

from gitpaas.access import people
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import ALL_APPS, all_option, app_argument, format_option, optional_app_argument
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.errors import NotFound
from gitpaas.store import Access, App, Key
from gitpaas.values import ROLES, Role


@dataclass(frozen=True)
class _Entry:
    """Why somebody may do something with an app, or with all when it is None."""

    app: str | None
    person: str
    role: str
    key: str | None = None  # by its own role
    by: str | None = None  # or granted by whom, and when
    at: float | None = None


@command("access", role="read", scope="seen")
@optional_app_argument
@format_option
def listing(call: Call, app: str | None, style: str) -> None:
    """List who may do what with an app, or with all that you may see, and whether by a key's role or by a grant."""
    with call.platform.store.session():
        found = _entries(call.app(app) if app else None)
        found = [one for one in found if _is_shown(call, one)]
    if style == "json":
        return call.say_json([_describe(one) for one in found])
    columns = (Column("APP"), Column("PERSON"), Column("ROLE"), Column("WHY", text=True))
    call.say(render(columns, [_row(one) for one in found], call.console.width))
    return None


@command("access:add", role="admin", changes=True)
@app_argument
@click.argument("person", metavar="WHO")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they may do with it.")
@all_option
def add(call: Call, app: str, person: str, role: Role) -> None:
    """Let a person (or the owner of a key) do something with an app. It counts besides the roles of their keys."""
    with people.admin_left(call.platform.store, f"A key of {person[:63]} is"):
        found, who = _chosen(call, app), people.find(person)
        call.note(f"{who} as {role}{'' if found else ' for all apps'}")
        people.grant(found, who, role, call.actor)
    call.say(f"{who} has the role {role} for {_place(found)}.")


@command("access:remove", role="admin", changes=True)
@app_argument
@click.argument("person", metavar="WHO")
@all_option
def remove(call: Call, app: str, person: str) -> None:
    """Take back what was granted, and end what it has let them open. The role of a key stays: keys:set changes that."""
    with people.admin_left(call.platform.store, f"A key of {person[:63]} is"):
        found, who = _chosen(call, app), people.find(person)
        call.note(who if found else f"{who} for all apps")
        if not people.revoke(found, who):
            raise NotFound(f"Nothing was granted to {who} for {_place(found)}.", f"List it: {call.program} access")
        rest = _roles_left(found, who)
    still = f" Still {', '.join(rest)}." if rest else ""
    call.say(f"{who} has nothing more granted for {_place(found)}.{still}")


def _is_shown(call: Call, one: _Entry) -> bool:
    """Who may do something with all apps is known to whoever sees one of them."""
    return call.may("read", one.app) or (one.app is None and bool(call.actor.grants))


def _chosen(call: Call, app: str) -> App | None:
    return None if app == ALL_APPS else call.app(app)


def _place(app: App | None) -> str:
    return app.name if app else "all apps"


def _roles_left(app: App | None, person: str) -> list[str]:
    """What they may all the same, in words."""
    left = [one for one in _entries(app) if one.person == person and one.app in (None, app and app.name)]
    return [f"{one.role} for {one.app or 'all apps'} ({_why(one)})" for one in left]


def _entries(app: App | None) -> list[_Entry]:
    """All, or those that count for one app: for all apps first."""
    keys = Key.select().where(Key.role << list(ROLES)).order_by(Key.person, Key.name)
    by_key = [_Entry(None, key.person, key.role, key=key.name) for key in keys]
    return sorted([*by_key, *_granted(people.listing(app))], key=lambda one: (one.app or "", one.person))


def _granted(grants: Iterable[Access]) -> list[_Entry]:
    return [
        _Entry(one.app.name if one.app else None, one.person, one.role, by=one.by, at=one.created_at) for one in grants
    ]


def _row(one: _Entry) -> list[str]:
    return [one.app or "(all)", one.person, one.role, _why(one)]


def _why(one: _Entry) -> str:
    return f"key {one.key}" if one.key else f"granted by {one.by} {ago(one.at)}"


def _describe(one: _Entry) -> dict[str, object]:
    granted = {"by": one.by, "created_at": iso(one.at)} if one.by else None
    return {"app": one.app, "person": one.person, "role": one.role, "key": one.key, "granted": granted}


COMMANDS = (listing, add, remove)
