"""keys: who may log in, and as what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from gitpaas.commands.base import command, format_option
from gitpaas.commands.call import Call
from gitpaas.commands.public_key import PublicKey, one_key
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.errors import Conflict, NotFound, UsageError
from gitpaas.store import Key
from gitpaas.values import ROLES, Role

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}")
_WHERE = "Give its file, or pipe it in: {} keys:add NAME < id_ed25519.pub"


@command("keys", role="admin")
@format_option
def listing(call: Call, style: str) -> None:
    """List the keys: name, role, fingerprint, when each was last used."""
    keys = _all(call)
    if style == "json":
        call.say_json([_describe(key) for key in keys])
    elif not keys:
        call.say("No keys yet. The first one is an admin: gitpaas keys:add NAME FILE")
    else:
        columns = (Column("NAME"), Column("ROLE"), Column("FINGERPRINT"), Column("USED"), Column("ADDED"))
        call.say(render(columns, [_row(key) for key in keys], call.console.width))


@command("keys:add", role="admin", changes=True)
@click.argument("name", metavar="NAME")
@click.argument("source", metavar="FILE|-", nargs=-1)
@click.option("--role", type=click.Choice(ROLES), help="What the key may do; deploy unless told, admin for the first.")
def add(call: Call, name: str, source: tuple[str, ...], role: Role | None) -> None:
    """Let a public key log in. The first one is always an admin. Over SSH the key comes on standard input."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is not a name for a key.", "Use letters, digits and . _ @ + - (63 at most).")
    key = one_key(_read(call, source))
    call.note(f"{name} {key.fingerprint}")
    platform = call.platform
    with platform.store.transaction():
        is_first = not Key.select().exists()
        chosen: Role = "admin" if is_first else role or "deploy"
        if _is_there(name, key, chosen if role or is_first else None):
            return call.say(f"{name} is there already: {key.fingerprint}")
        Key.create(name=name, person=name, fingerprint=key.fingerprint, line=key.line, role=chosen)
    call.note(f"{name} as {chosen}, {key.fingerprint}")
    why = " (the first key always is)" if is_first and role not in (None, "admin") else ""
    call.say(f"{name} may log in as {chosen}{why}: {key.fingerprint}")
    return None


@command("keys:remove", role="admin", changes=True)
@click.argument("name", metavar="NAME")
def remove(call: Call, name: str) -> None:
    """Take a key's access away. The last admin stays."""
    platform = call.platform
    call.note(name[:80])
    with platform.store.transaction():
        key = Key.get_or_none(Key.name == name)
        if key is None:
            raise NotFound(f"There is no key {name[:80]!r}.", f"List them: {call.program} keys")
        if key.role == "admin" and Key.select().where(Key.role == "admin").count() == 1:
            raise Conflict(
                f"{name} is the last admin key: without it nobody could let anybody in.",
                f"Add another admin first: {call.program} keys:add NAME --role admin",
            )
        call.note(f"{name} {key.fingerprint}")
        key.delete_instance()
    call.say(f"{name} may not log in any more.")


def _is_there(name: str, key: PublicKey, role: Role | None) -> bool:
    """Whether this very key has this name (and this role, when one is asked for); Conflict when half of it is taken."""
    same_name = Key.get_or_none(Key.name == name)
    same_key = Key.get_or_none(Key.fingerprint == key.fingerprint)
    if same_key is not None and same_key.name != name:
        raise Conflict(f"That key is there already, as {same_key.name} ({same_key.role}).")
    if same_name is not None and same_key is None:
        raise Conflict(f"There is another key named {name}: {same_name.fingerprint}", f"First: keys:remove {name}")
    if same_key is not None and role not in (None, same_key.role):
        raise Conflict(
            f"{name} is there already, as {same_key.role}.", f"To change it: keys:remove {name}, then add it."
        )
    return same_key is not None


def _read(call: Call, source: tuple[str, ...]) -> str:
    """The text of the key: words on the command line, a file at the machine itself, else standard input."""
    if len(source) > 1:
        return " ".join(source)
    if source and source != ("-",):
        return _read_file(call, source[0])
    if call.console.tty:
        raise UsageError("Which key?", _WHERE.format(call.program))
    return call.console.read().decode("utf-8", "replace")


def _read_file(call: Call, name: str) -> str:
    if not call.is_local:
        raise UsageError("Files of yours are not here.", _WHERE.format(call.program))
    try:
        return Path(name).expanduser().read_text("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}", _WHERE.format(call.program)) from error


def _all(call: Call) -> list[Key]:
    with call.platform.store.session():
        return list(Key.select().order_by(Key.name))


def _row(key: Key) -> list[str]:
    used = ago(key.used_at) if key.used_at else "never"
    return [key.name, key.role, key.fingerprint, used, ago(key.created_at)]


def _describe(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "role": key.role,
        "fingerprint": key.fingerprint,
        "used_at": iso(key.used_at),
        "created_at": iso(key.created_at),
    }


COMMANDS = (listing, add, remove)
