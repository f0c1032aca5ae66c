"""app.json: what we use of it. Fields that Heroku and Dokku know and we do not are left alone.

    {"env": {"LEVEL": "info", "KEY": {"generator": "secret"}, "TOKEN": {"required": true}},
     "formation": {"web": {"quantity": 2}},
     "scripts": {"postdeploy": "rake db:seed"},
     "healthchecks": {"web": [{"type": "startup", "path": "/up", "timeout": 30}]},
     "cron": [{"command": "python tidy.py", "schedule": "0 3 * * *"}]}

Formats: https://devcenter.heroku.com/articles/app-json-schema, https://dokku.com/docs/deployment/zero-downtime-deploys
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitpaas import tree as trees
from gitpaas.appjson import cron
from gitpaas.appjson.fields import mapping, part, shown, wrong
from gitpaas.appjson.scripts import scripts
from gitpaas.errors import UsageError
from gitpaas.names import is_provided, process_name, variable_name
from gitpaas.values import CronEntry, HealthCheck

_MOST = 1000  # instances of one process type: a slip of the keyboard must not start a million


@dataclass(frozen=True)
class Variable:
    """One entry of `env`: a default value, a secret to make up, or only the wish that it be set."""

    name: str
    value: str | None = None
    required: bool = True
    generated: bool = False
    description: str = ""


@dataclass(frozen=True)
class AppJson:
    env: Mapping[str, Variable] = field(default_factory=dict)
    formation: Mapping[str, int] = field(default_factory=dict)  # process type -> instances at first
    health: HealthCheck = field(default_factory=HealthCheck)  # of web
    scripts: Mapping[str, str] = field(default_factory=dict)  # when (appjson.scripts) -> command
    cron: tuple[CronEntry, ...] = ()

    def defaults(self, known: Collection[str]) -> dict[str, str]:
        """What an app that has the config vars `known` gets besides: default values, and secrets made now."""
        return {
            name: secrets.token_hex(32) if variable.generated else variable.value or ""
            for name, variable in self.env.items()
            if name not in known and not is_provided(name) and (variable.generated or variable.value is not None)
        }

    def provided(self) -> list[str]:
        """Names that are the platform's to set: what is said of them here is not used."""
        return [name for name in self.env if is_provided(name)]

    def unset(self, known: Collection[str]) -> list[str]:
        """Names that the app wants to be set, whatever their default, and that are not."""
        return [name for name, v in self.env.items() if v.required and name not in known and not is_provided(name)]

    def missing(self, known: Collection[str]) -> list[Variable]:
        """Variables without which the app says it cannot run."""
        return [
            variable
            for name, variable in self.env.items()
            if name in self.unset(known) and not variable.generated and variable.value is None
        ]


def read(tree: Path) -> AppJson:
    """The tree's app.json; an empty one when there is none. BuildFailed names the field that is off."""
    text = trees.read_text(tree, "app.json")
    return AppJson() if text is None else parse(text)


def parse(text: str) -> AppJson:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise wrong(f"it is not JSON: {error}") from error
    document = mapping(document, "the whole file")
    return AppJson(
        env={name: _variable(name, entry) for name, entry in part(document, "env").items()},
        formation={name: _quantity(name, entry) for name, entry in part(document, "formation").items()},
        health=_health(part(document, "healthchecks").get("web")),
        scripts=scripts(document),
        cron=cron.entries(document.get("cron")),
    )


def _variable(name: str, entry: Any) -> Variable:
    where = f"env.{name}"
    try:
        variable_name(name)
    except UsageError as error:
        raise wrong(f"{where}: {error.message}", error.hint) from error
    if isinstance(entry, str | int | float | bool):
        return Variable(name, value=_text(entry, where))
    entry = mapping(entry, where)
    if (generator := entry.get("generator")) not in (None, "secret"):
        raise wrong(f'{where}.generator is {shown(generator)}; there is only "secret"')
    if not isinstance(required := entry.get("required", True), bool):
        raise wrong(f"{where}.required is {shown(required)}, neither true nor false")
    value = entry.get("value")
    if not isinstance(value, str | int | float | bool | None):
        raise wrong(f"{where}.value is {shown(value)}, not a text")
    return Variable(
        name,
        value=None if value is None else _text(value, where),
        required=required,
        generated=generator == "secret",
        description=str(entry.get("description") or ""),
    )


def _text(value: str | float | bool, where: str) -> str:
    if isinstance(value, str):
        if re.search(r"[\0\ud800-\udfff]", value):
            raise wrong(f"{where} is {shown(value)}, which no environment can hold")
        return value
    return json.dumps(value)  # true, 1.5: as they stand in the file


def _quantity(name: str, entry: Any) -> int:
    try:
        process_name(name)
    except UsageError as error:
        raise wrong(f"formation.{name}: {error.message}", error.hint) from error
    quantity = mapping(entry, f"formation.{name}").get("quantity", 1)
    if not isinstance(quantity, int) or isinstance(quantity, bool) or not 0 <= quantity <= _MOST:
        raise wrong(f"formation.{name}.quantity is {shown(quantity)}, not a whole number from 0 to {_MOST}")
    return quantity


def _health(checks: Any) -> HealthCheck:
    """The first startup check of web. With Dokku's `attempts` and `wait`, the time of all attempts together."""
    if checks is None:
        return HealthCheck()
    if not isinstance(checks, list):
        raise wrong(f"healthchecks.web is {shown(checks)}, not a list of checks")
    for check in (mapping(check, "healthchecks.web[]") for check in checks):
        if check.get("type", "startup") == "startup":
            return HealthCheck(path=_path(check.get("path")), timeout=_patience(check))
    return HealthCheck()


def _path(path: Any) -> str | None:
    if path is None:
        return None
    if not isinstance(path, str) or not path.startswith("/") or not path.isascii() or not path.isprintable():
        raise wrong(f"healthchecks.web[].path is {shown(path)}, not a path such as /up")
    if " " in path:
        raise wrong(f"healthchecks.web[].path is {shown(path)}, which has a space in it")
    return path


def _patience(check: Mapping[str, Any]) -> float:
    timeout = _seconds(check, "timeout", HealthCheck().timeout)
    if "attempts" not in check:
        return timeout
    return _seconds(check, "attempts", 3) * (timeout + _seconds(check, "wait", 5))


def _seconds(check: Mapping[str, Any], name: str, default: float) -> float:
    value = check.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        raise wrong(f"healthchecks.web[].{name} is {shown(value)}, not a number above 0")
    return float(value)
