"""Commands that run once for a deploy, by Heroku's and Dokku's names.

    {"scripts": {"postdeploy": "rake db:seed", "dokku": {"predeploy": "bin/check", "postdeploy": "bin/notify"}}}

Formats: https://devcenter.heroku.com/articles/app-json-schema#scripts,
https://dokku.com/docs/advanced-usage/deployment-tasks
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitpaas.appjson.fields import mapping, part, shown, wrong

PREDEPLOY = "predeploy"  # each deploy, before the release phase
POSTDEPLOY = "postdeploy"  # each deploy, once it is live
FIRST_POSTDEPLOY = "postdeploy-first"  # the first deploy only, once it is live


def scripts(document: Mapping[str, Any]) -> dict[str, str]:
    """The commands by when they run. What stands under `dokku` comes before the same name beside it."""
    plain = part(document, "scripts")
    dokku = mapping(plain.get("dokku") or {}, "scripts.dokku")
    found = {
        PREDEPLOY: _command(dokku, "predeploy", "scripts.dokku") or _command(plain, "predeploy", "scripts"),
        POSTDEPLOY: _command(dokku, "postdeploy", "scripts.dokku"),
        FIRST_POSTDEPLOY: _command(plain, "postdeploy", "scripts"),
    }
    return {when: command for when, command in found.items() if command}


def _command(scripts: Mapping[str, Any], name: str, where: str) -> str:
    """A text, or as Heroku has it too {"command": text, ...}; empty when there is none."""
    value = scripts.get(name)
    if isinstance(value, dict):
        where, value = f"{where}.{name}", value.get("command")
        name = "command"
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise wrong(f"{where}.{name} is {shown(value)}, not a command")
    return value.strip()
