"""The `cron` of app.json, in Dokku's format with a name and a time zone besides:

    [{"command": "python manage.py clearsessions", "schedule": "0 3 * * *", "timezone": "Europe/Berlin",
      "name": "sessions", "concurrency_policy": "forbid", "maintenance": false}]

https://dokku.com/docs/processes/scheduled-cron-tasks
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, get_args

from gitpaas import crontab, zones
from gitpaas.appjson.fields import mapping, shown, wrong
from gitpaas.values import CronEntry, CronPolicy

_MOST = 100  # entries of an app
_LONGEST_COMMAND = 4000  # characters
_LONGEST_NAME = 40  # characters of a name that we make of a command
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def entries(listed: Any) -> tuple[CronEntry, ...]:
    """As they are in the file. BuildFailed names the field that is off."""
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise wrong(f"cron is {shown(listed)}, not a list of entries")
    if len(listed) > _MOST:
        raise wrong(f"cron has {len(listed)} entries; there may be {_MOST}")
    return _named([_entry(one, f"cron[{index}]") for index, one in enumerate(listed)])


def _entry(value: Any, where: str) -> CronEntry:
    """With an empty name when it has none of its own."""
    fields = mapping(value, where)
    policy = _text(fields, "concurrency_policy", where, "forbid")
    if policy not in get_args(CronPolicy):
        raise wrong(f"{where}.concurrency_policy is {shown(policy)}; there are {', '.join(get_args(CronPolicy))}")
    if not isinstance(maintenance := fields.get("maintenance") or False, bool):
        raise wrong(f"{where}.maintenance is {shown(maintenance)}, neither true nor false")
    return CronEntry(
        name=_name(fields, where),
        command=_command(fields, where),
        schedule=_checked(fields, "schedule", where, None, crontab.require_schedule),
        timezone=_checked(fields, "timezone", where, "UTC", zones.require),
        policy=policy,  # type: ignore[arg-type]
        suspended=maintenance,
    )


def _name(fields: Mapping[str, Any], where: str) -> str:
    name = _text(fields, "name", where, "")
    if name and not _NAME.fullmatch(name):
        raise wrong(f"{where}.name is {shown(name)}; use up to 63 letters, digits, dashes and underscores")
    return name


def _command(fields: Mapping[str, Any], where: str) -> str:
    command = _text(fields, "command", where, None).strip()
    if not command or len(command) > _LONGEST_COMMAND or re.search(r"[\0\ud800-\udfff]", command):
        raise wrong(f"{where}.command is {shown(command)}, not a command of 1 to {_LONGEST_COMMAND} characters")
    return command


def _checked(
    fields: Mapping[str, Any], field: str, where: str, default: str | None, require: Callable[[str], None]
) -> str:
    text = " ".join(_text(fields, field, where, default).split())
    try:
        require(text)
    except ValueError as error:
        raise wrong(f"{where}.{field} is {shown(text)}; it {error}") from error
    return text


def _text(fields: Mapping[str, Any], field: str, where: str, default: str | None) -> str:
    """`default` None: the field must be there."""
    value = default if fields.get(field) is None else fields[field]
    if value is None:
        raise wrong(f"{where}.{field} is missing")
    if not isinstance(value, str):
        raise wrong(f"{where}.{field} is {shown(value)}, not a text")
    return value


def _named(found: Sequence[CronEntry]) -> tuple[CronEntry, ...]:
    """Everyone with a name of its own, which stays when the order changes: people suspend entries by their names."""
    chosen = Counter(entry.name or _from_command(entry.command) for entry in found)
    named = [entry if entry.name else _renamed(entry, chosen) for entry in found]
    for name, times in Counter(entry.name for entry in named).items():
        if times > 1:
            raise wrong(f"cron has {times} entries named {name}", "Give each a name of its own, and push again.")
    return tuple(named)


def _renamed(entry: CronEntry, chosen: Mapping[str, int]) -> CronEntry:
    name = _from_command(entry.command)
    if chosen[name] > 1:  # the same command at other times
        name += "-" + sha256(repr((entry.command, entry.schedule, entry.timezone)).encode()).hexdigest()[:4]
    return replace(entry, name=name)


def _from_command(command: str) -> str:
    """ "python manage.py clearsessions" -> "python-manage-py-clearsessions"."""
    words = re.sub(r"[^A-Za-z0-9_]+", "-", command).strip("-_")
    return words[:_LONGEST_NAME].rstrip("-_") or "command"
