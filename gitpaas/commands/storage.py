"""storage: directories of an app that outlive its releases."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import click

from gitpaas import linux
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option
from gitpaas.commands.table import Column, render
from gitpaas.errors import Conflict, NotFound, UsageError
from gitpaas.store import App, Volume

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PATH = re.compile(r"(/[A-Za-z0-9_.@+-]+)+")
_LONGEST = 200  # characters of a path
_EXAMPLE = "For example: data:/var/lib/data"

_SYSTEM = tuple(map(PurePosixPath, ("/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sbin", "/usr")))
_KERNELS = tuple(map(PurePosixPath, ("/dev", "/proc", "/sys")))
_NEEDED = {*_SYSTEM, *map(PurePosixPath, ("/app", "/run", "/tmp", "/var"))}  # noqa: S108 (a name, nothing is put there)


@command("storage", role="read")
@app_argument
@format_option
def listing(call: Call, app: str, style: str) -> None:
    """List an app's storage: each name, where instances find it, and what is kept without being mounted."""
    found = call.app(app)
    mounted = {row.name: row.target for row in Volume.select().where(Volume.app == found)}
    names = sorted({*mounted, *call.platform.runtime.volumes(found.name)})
    if style == "json":
        call.say_json([{"name": name, "path": mounted.get(name)} for name in names])
    elif not names:
        call.say(f"{app} has no storage. Give it some: {call.program} storage:mount {app} data:/var/lib/data")
    else:
        rows = [(name, mounted.get(name, "kept, not mounted")) for name in names]
        call.say(render((Column("NAME"), Column("PATH")), rows, call.console.width))


@command("storage:mount", role="deploy", changes=True)
@app_argument
@click.argument("mount", metavar="NAME:/PATH")
def mount(call: Call, app: str, mount: str) -> None:
    """Give an app's instances a directory that outlives releases, from their next start on."""
    found = call.app(app)
    name, path = _parsed(mount)
    call.note(f"{name}:{path}")
    _require_able(call, path)
    with call.platform.store.transaction():
        if _is_there(found, name, path):
            return call.say(f"{name} is at {path} already.")
        Volume.create(app=found, name=name, target=path)
    _say_when(call, found, f"{name} will be at {path}.")
    return None


@command("storage:unmount", role="deploy", changes=True)
@app_argument
@click.argument("mount", metavar="NAME[:/PATH]")
def unmount(call: Call, app: str, mount: str) -> None:
    """Take a directory from an app's instances, from their next start on. What is in it stays."""
    found = call.app(app)
    name, _, path = mount.partition(":")
    call.note(mount[:_LONGEST])
    row = Volume.get_or_none(Volume.app == found, Volume.name == name)
    if row is None or path not in ("", row.target):
        raise NotFound(f"{app} has no {mount[:80]!r} mounted.", f"List it: {call.program} storage {app}")
    row.delete_instance()
    _say_when(call, found, f"{name} will not be at {row.target} any more.")
    call.say(f"What is in it stays until apps:destroy, or: {call.program} storage:destroy {app} {name}")


@command("storage:destroy", role="admin", changes=True)
@app_argument
@click.argument("name", metavar="NAME")
@click.option("--confirm", metavar="NAME", help="The name again: there is no way back.")
def destroy(call: Call, app: str, name: str, confirm: str | None) -> None:
    """Delete a directory that is not mounted any more, with all that is in it."""
    found = call.app(app)
    call.note(name[:_LONGEST])
    if Volume.get_or_none(Volume.app == found, Volume.name == name):
        raise Conflict(f"{name} is mounted.", f"First: {call.program} storage:unmount {app} {name}")
    if name not in call.platform.runtime.volumes(found.name):
        raise NotFound(f"{app} has no storage {name[:80]!r}.", f"List it: {call.program} storage {app}")
    if confirm != name:
        raise UsageError(
            f"This deletes {name} of {app} and all that is in it. There is no way back.",
            f"To do it: {call.program} storage:destroy {app} {name} --confirm {name}",
        )
    call.platform.runtime.remove_volume(found.name, name)
    call.say(f"{name} is gone.")


def _parsed(text: str) -> tuple[str, str]:
    """Name and path, both valid; UsageError says what is wrong with them."""
    name, colon, path = text.partition(":")
    if not colon:
        raise UsageError(f"{text[:80]!r} does not say where instances find it.", _EXAMPLE)
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is not a name for storage.", _EXAMPLE)
    if not _PATH.fullmatch(path) or len(path) > _LONGEST or any(part in (".", "..") for part in path.split("/")):
        raise UsageError(f"{path[:80]!r} is not an absolute path, plainly written.", _EXAMPLE)
    if PurePosixPath(path) in _NEEDED or _is_in(path, _KERNELS):
        raise UsageError(f"{path} is the system's, or the app's own.", "Choose one of its own: /data, /app/uploads")
    return name, path


def _is_in(path: str, places: Iterable[PurePosixPath]) -> bool:
    return any(PurePosixPath(path).is_relative_to(place) for place in places)


def _require_able(call: Call, path: str) -> None:
    """Plain processes see the machine's own system, read-only; an image has one of its own."""
    if call.platform.runtime.name != "host":
        return
    if _is_in(path, _SYSTEM):
        raise UsageError(f"{path} is in the system, which apps share here.", "Choose another: /data, /app/uploads")
    if not linux.can_confine():
        raise Conflict(
            "Without a sandbox there is no storage of an app's own: its instances see this machine as it is.",
            "Start the server as root on Linux, or use a path of this machine.",
        )


def _is_there(app: App, name: str, path: str) -> bool:
    """Whether this very mount is there; Conflict when its name or its path is taken."""
    for row in Volume.select().where(Volume.app == app):
        if (row.name, row.target) == (name, path):
            return True
        if row.name == name:
            raise Conflict(f"{name} is at {row.target} already.", f"First: storage:unmount {app.name} {name}")
        own, other = PurePosixPath(path), PurePosixPath(row.target)
        if own.is_relative_to(other) or other.is_relative_to(own):
            raise Conflict(f"{row.name} is at {row.target}, and one cannot be inside the other.")
    return False


def _say_when(call: Call, app: App, what: str) -> None:
    runs = bool(app.release) and not app.stopped
    call.say(what + (f" Instances that run do not see it yet: {call.program} ps:restart {app.name}" if runs else ""))


COMMANDS = (listing, mount, unmount, destroy)
