"""git:set: what of an app's repository is deployed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitpaas import apps, releases
from gitpaas.apps import options
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.pairs import app_to_set, parse
from gitpaas.commands.parameters import app_argument, pairs_argument
from gitpaas.git import repository

if TYPE_CHECKING:
    from gitpaas.store import App

_KEYS = ("deploy-branch",)


@command("git:set", role="deploy", changes=True)
@app_argument
@pairs_argument
def change(call: Call, app: str, pairs: Sequence[str]) -> None:
    """Say what of an app's repository is deployed: deploy-branch. Without values, print what holds.

    deploy-branch=production is what pushes deploy, and what a clone checks out. An empty value is as at first: main or
    master, whichever is pushed first. What runs goes on.
    """
    found, changes = app_to_set(call, app, pairs), parse(pairs, "deploy-branch=production")
    for key in changes:
        if key not in _KEYS:
            raise options.unknown(key, _KEYS)
    if not changes:
        call.say(f"deploy-branch={found.deploy_branch or ''}")
        return
    branch = changes["deploy-branch"].removeprefix("refs/heads/") or None
    call.note(f"deploy-branch={branch or ''}")
    apps.choose_deploy_branch(call.platform, found, branch)
    call.say(_told(call, call.app(app)))


def _told(call: Call, app: App) -> str:
    if app.deploy_branch is None:
        return f"{app.name}: main or master is deployed, whichever is pushed first."
    text = f"{app.name}: {app.deploy_branch} is deployed from the next push on."
    if not repository.read_ref(call.config.repository(app.name), f"refs/heads/{app.deploy_branch}"):
        text += f"\nNobody has pushed it so far: git push paas {shlex.quote(app.deploy_branch)}"
    if waiting := releases.waiting_commit(call.platform, app):
        text += f"\nIt is at {waiting[:7]} already. To deploy that: {call.program} ps:rebuild {app.name}"
    return text


COMMANDS = (change,)
