"""People: whose keys they are, what was granted to them, and that an admin is always left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from peewee import JOIN

from gitpaas.access import reaches
from gitpaas.errors import Conflict, NotFound, UsageError
from gitpaas.store import Access, App, Key, Store
from gitpaas.values import ROLES, Actor, Role

if TYPE_CHECKING:
    from peewee import ModelSelect

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}")


def valid_name(text: str) -> str:
    """A name that a key or a person may have, or UsageError."""
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is not a name for a key or a person.", "Use letters, digits and . _ @ + - (63 at most)."
        )
    return text


def actor(key: Key, address: str) -> Actor:
    """Who comes with this key, and what they may do as of now."""
    return _actor(key, list(_grants().where(Access.person == key.person)), address)


def actors() -> dict[str, Actor]:
    """The same of all keys, by fingerprint."""
    grants = list(_grants())
    return {
        key.fingerprint: _actor(key, [one for one in grants if one.person == key.person], "") for key in Key.select()
    }


def those_there(apps: Iterable[str]) -> frozenset[str]:
    """Those of these apps that exist."""
    names = list(apps)
    return frozenset(app.name for app in App.select(App.name).where(App.name << names)) if names else frozenset()


def find(name: str) -> str:
    """The person of that name, or whose key has that name. NotFound when there is neither."""
    if Key.select().where(Key.person == name).exists():
        return name
    if key := Key.get_or_none(Key.name == name):
        return str(key.person)
    raise NotFound(f"There is nobody named {name[:80]!r}.", f"An admin lets people in: keys:add {name[:63]} FILE")


def listing(app: App | None = None) -> list[Access]:
    """What was granted: of all, or what counts for one app."""
    query = _grants()
    return list(query.where((Access.app == app) | Access.app.is_null()) if app else query)


def grant(app: App | None, person: str, role: Role, by: Actor) -> None:
    """Instead of what they had there before. Within a transaction, as all changes here."""
    revoke(app, person)
    Access.create(app=app, person=person, role=role, by=by.name)


def revoke(app: App | None, person: str) -> bool:
    """Whether there was something to take."""
    where = Access.app.is_null() if app is None else Access.app == app
    return bool(Access.delete().where(where, Access.person == person).execute())


def hand_over(key: Key, person: str) -> list[Access]:
    """Make the key another person's. A last key takes what was granted along to somebody new, as by another name.
    What was lost."""
    former, is_new = key.person, not Key.select().where(Key.person == person).exists()
    Key.update(person=person).where(Key.id == key.id).execute()
    if is_new and not Key.select().where(Key.person == former).exists():
        Access.update(person=person).where(Access.person == former).execute()
    return forget(former)


def forget(person: str) -> list[Access]:
    """What was granted to somebody without a key goes: the next one of that name is somebody else. What it was."""
    if Key.select().where(Key.person == person).exists():
        return []
    gone = list(_grants().where(Access.person == person))
    Access.delete().where(Access.person == person).execute()
    return gone


@contextmanager
def admin_left(store: Store, what: str) -> Iterator[None]:
    """A transaction that is taken back when it leaves nobody who may do everything. `what` begins the sentence."""
    with store.transaction():
        before = _has_admin()
        yield
        if before and not _has_admin():
            raise Conflict(
                f"{what} the last admin key: without it nobody could let anybody in.",
                "First make another key an admin's: keys:add NAME --role admin",
            )


def _has_admin() -> bool:
    return any(reaches(one.role, "admin") for one in actors().values())


def _grants() -> ModelSelect[Access]:
    return Access.select(Access, App).join(App, JOIN.LEFT_OUTER).order_by(App.name, Access.person)


def _actor(key: Key, grants: list[Access], address: str) -> Actor:
    for_all = [key.role, *(one.role for one in grants if one.app_id is None)]
    role = next((role for role in ROLES if role in for_all), None)
    granted = {one.app.name: cast(Role, one.role) for one in grants if one.app is not None}
    return Actor(key.person, role, key.name, address, granted)
