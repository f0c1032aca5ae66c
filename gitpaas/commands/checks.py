"""checks and checks:set: how a new web instance is asked whether it is ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gitpaas.apps import options
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.pairs import app_to_set, parse, written
from gitpaas.commands.parameters import app_argument, format_option, pairs_argument
from gitpaas.commands.table import Column, render

if TYPE_CHECKING:
    from gitpaas.store import App

_CHOSEN, _TREE, _DEFAULT = "checks:set", "app.json", "unless told"


@command("checks", role="read")
@app_argument
@format_option
def checks(call: Call, app: str, style: str) -> None:
    """Show what a new web instance must answer before it gets requests, how soon, and who said so."""
    found = _describe(call, call.app(app))
    if style == "json":
        return call.say_json(found)
    return _show(call, found)


@command("checks:set", role="deploy", changes=True)
@app_argument
@pairs_argument
def change(call: Call, app: str, pairs: Sequence[str]) -> None:
    """Say how a new web instance is asked: path, timeout. Without values, print what holds.

    It goes before what app.json says. path=/up must answer with a status below 400; without one an open port is
    enough. timeout=SECONDS is how long it may take until the deploy gives up and what runs goes on. An empty value
    unsets.
    """
    found, changes = app_to_set(call, app, pairs), parse(pairs, "path=/up")
    if not changes:
        return _show(call, _describe(call, found))
    longest = call.config.start_timeout
    options.update(call.platform, found, options.of_instances, lambda now: options.change_checks(now, changes, longest))
    call.note(written(changes))
    now = _describe(call, call.app(app))
    asked = f"GET {now['path']} must answer" if now["path"] else "a port must be open"
    call.say(f"{found.name}: {asked} within {now['timeout']:g} s. New instances are asked so from now on.")
    return None


def _show(call: Call, found: dict[str, Any]) -> None:
    path = f"GET {found['path']}" if found["path"] else "an open port"
    rows = [["path", path, found["path_from"]], ["timeout", f"{found['timeout']:g} s", found["timeout_from"]]]
    call.say(render((Column("CHECK"), Column("VALUE", text=True), Column("FROM")), rows, call.console.width))


def _describe(call: Call, app: App) -> dict[str, Any]:
    from gitpaas import releases
    from gitpaas.values import HealthCheck

    chosen, release = options.of_instances(app), releases.live(app)
    of_tree, usual = releases.artifact(release).health if release else HealthCheck(), HealthCheck()
    check = options.health_check(chosen, of_tree)
    return {
        "path": check.path,
        "path_from": _CHOSEN if chosen.check_path else _TREE if of_tree.path else _DEFAULT,
        "timeout": min(check.timeout, call.config.start_timeout),
        "timeout_from": _CHOSEN if chosen.check_timeout else _DEFAULT if of_tree.timeout == usual.timeout else _TREE,
    }


COMMANDS = (checks, change)
