"""keys: who may log in, whose keys these are, and what they may do with all apps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from gitpaas.access import people
from gitpaas.commands import given
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option
from gitpaas.commands.public_key import PublicKey, one_key
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.errors import Conflict, NotFound, UsageError
from gitpaas.store import Access, Key
from gitpaas.values import ROLES

_ROLES = (*ROLES, "none")
_WHERE = "Give its file, or pipe it in: {} keys:add NAME < id_ed25519.pub"


@command("keys", role="admin")
@format_option
def listing(call: Call, style: str) -> None:
    """List the keys: name, person, role, fingerprint, when and from where each was last used."""
    keys = _all(call)
    if style == "json":
        call.say_json([_describe(key) for key in keys])
    elif not keys:
        call.say("No keys yet. The first one is an admin: gitpaas keys:add NAME FILE")
    else:
        headings = ("NAME", "PERSON", "ROLE", "FINGERPRINT", "USED", "ADDED")
        columns = [Column(heading) for heading in headings]
        call.say(render(columns, [_row(key) for key in keys], call.console.width))


@command("keys:add", role="admin", changes=True)
@click.argument("name", metavar="NAME")
@click.argument("source", metavar="FILE|-", nargs=-1)
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    help="What it may do with all apps; deploy unless told, admin for the first. none: what access:add grants alone.",
)
@click.option("--person", metavar="WHO", help="Whose it is, as a person has several; a person of its name unless told.")
def add(call: Call, name: str, source: tuple[str, ...], role: str | None, person: str | None) -> None:
    """Let a public key log in. The first one is always an admin. Over SSH the key comes on standard input."""
    people.valid_name(name)
    owner = people.valid_name(person or name)
    key = one_key(_read(call, source))
    call.note(f"{name} {key.fingerprint}")
    platform = call.platform
    with platform.store.transaction():
        is_first = not Key.select().exists()
        chosen = "admin" if is_first else role or "deploy"
        if _is_there(name, key, chosen if role or is_first else None, person):
            return call.say(f"{name} is there already: {key.fingerprint}")
        Key.create(name=name, person=owner, fingerprint=key.fingerprint, line=key.line, role=chosen)
    whose = f"{name} of {owner}" if owner != name else name
    call.note(f"{whose} as {chosen}, {key.fingerprint}")
    why = " (the first key always is)" if is_first and role not in (None, "admin") else ""
    call.say(f"{whose} may log in as {chosen}{why}: {key.fingerprint}")
    if chosen == "none":
        call.say(f"To let it do something: {call.program} access:add APP {owner} --role read")
    return None


@command("keys:set", role="admin", changes=True)
@click.argument("name", metavar="NAME")
@click.option("--role", type=click.Choice(_ROLES), help="What it may do with all apps from now on.")
@click.option("--person", metavar="WHO", help="Whose it is from now on.")
def set_(call: Call, name: str, role: str | None, person: str | None) -> None:
    """Change what a key may do, or whose it is. The last admin stays one. What it may no more ends at once."""
    if role is None and person is None:
        raise UsageError("What of it?", f"{call.program} keys:set {name[:63]} --role deploy --person WHO")
    call.note(name[:80])
    with people.admin_left(call.platform.store, f"{name[:63]} is"):
        key = _find(call, name)
        if role is not None:
            Key.update(role=role).where(Key.id == key.id).execute()
        lost = people.hand_over(key, people.valid_name(person)) if person is not None else []
        former, key = key.person, _find(call, name)
    call.note(f"{key.name} of {key.person} as {key.role}, {key.fingerprint}")
    call.say(f"{key.name} is a key of {key.person} and may log in as {key.role}.")
    _tell_lost(call, former, lost)


@command("keys:remove", role="admin", changes=True)
@click.argument("name", metavar="NAME")
def remove(call: Call, name: str) -> None:
    """Take a key's access away, and end what it has open. The last admin stays."""
    call.note(name[:80])
    with people.admin_left(call.platform.store, f"{name[:63]} is"):
        key = _find(call, name)
        call.note(f"{name} {key.fingerprint}")
        key.delete_instance()
        lost = people.forget(key.person)
    call.say(f"{name} may not log in any more.")
    _tell_lost(call, key.person, lost)


def _tell_lost(call: Call, person: str, lost: Sequence[Access]) -> None:
    if lost:
        apps = ", ".join(one.app.name if one.app else "all apps" for one in lost)
        call.say(f"It was the last key of {person}, so what was granted has gone too: {apps}.")


def _find(call: Call, name: str) -> Key:
    key: Key | None = Key.get_or_none(Key.name == name)
    if key is None:
        raise NotFound(f"There is no key {name[:80]!r}.", f"List them: {call.program} keys")
    return key


def _is_there(name: str, key: PublicKey, role: str | None, person: str | None) -> bool:
    """Whether this very key has this name (and what else is asked for); Conflict when half of it is taken."""
    same_name = Key.get_or_none(Key.name == name)
    same_key = Key.get_or_none(Key.fingerprint == key.fingerprint)
    if same_key is not None and same_key.name != name:
        raise Conflict(f"That key is there already, as {same_key.name} ({same_key.role}).")
    if same_name is not None and same_key is None:
        raise Conflict(f"There is another key named {name}: {same_name.fingerprint}", f"First: keys:remove {name}")
    if same_key is not None and (role not in (None, same_key.role) or person not in (None, same_key.person)):
        raise Conflict(
            f"{name} is there already, as {same_key.role}, a key of {same_key.person}.",
            f"To change that: keys:set {name} --role ROLE --person WHO",
        )
    return same_key is not None


def _read(call: Call, source: tuple[str, ...]) -> str:
    """The text of the key: words on the command line, a file at the machine itself, else standard input."""
    if len(source) > 1:
        return " ".join(source)
    if not source and call.console.tty:
        raise UsageError("Which key?", _WHERE.format(call.program))
    return given.read(call, source[0] if source else "-", _WHERE.format(call.program)).decode("utf-8", "replace")


def _all(call: Call) -> list[Key]:
    with call.platform.store.session():
        return list(Key.select().order_by(Key.name))


def _row(key: Key) -> list[str]:
    used = f"{ago(key.used_at)} from {key.used_from or '?'}" if key.used_at else "never"
    return [key.name, key.person, key.role, key.fingerprint, used, ago(key.created_at)]


def _describe(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "person": key.person,
        "role": key.role,
        "fingerprint": key.fingerprint,
        "used_at": iso(key.used_at),
        "used_from": key.used_from,
        "created_at": iso(key.created_at),
    }


COMMANDS = (listing, add, set_, remove)
