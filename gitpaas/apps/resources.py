"""What of the machine each instance of an app may take: for one process type, for all others, else as the settings say.

Kept with the app as JSON by process type, "" for all others. One-off commands and the release phase are process types
of their own here: "run", "cron", "release".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from gitpaas import apps
from gitpaas.config import Config, kinds
from gitpaas.errors import UsageError
from gitpaas.names import process_name
from gitpaas.output import amount
from gitpaas.store import App
from gitpaas.values import Limits

KEYS = ("memory", "cpu", "processes")
OTHERS = ""
ONE_OFFS = ("release", "run", "cron")

FIELDS = {"memory": "memory", "cpu": "cpus", "processes": "processes"}  # of values.Limits
KEY_OF = {field: key for key, field in FIELDS.items()}
_LEAST_MEMORY = 16 * 1024 * 1024  # below that no interpreter starts
_LEAST_CPUS = 0.01  # what a kernel can share out
_PROCESSES = (4, 32_768)  # with an init process and a shell, up to what a kernel has pids for by default


def limits(settings: Config, app: App, process: str) -> Limits:
    """What one instance of this process type may take."""
    said = chosen(app)
    return replace(apps.limits(settings), **{**said.get(OTHERS, {}), **said.get(process, {})})


def chosen(app: App) -> dict[str, dict[str, Any]]:
    """What was said, by process type: {"worker": {"memory": 1073741824}}."""
    said: dict[str, dict[str, Any]] = json.loads(app.resources)
    return said


def changed(app: App, process: str, texts: Mapping[str, str]) -> str:
    """What is to be kept after `texts` ({"memory": "512m"}; an empty one unsets) was said of a process type, or of all
    others. UsageError for what no instance could have."""
    said = chosen(app)
    own = dict(said.get(process, {}))
    for key, text in texts.items():
        own.pop(FIELDS[key], None)
        if text.strip():
            own[FIELDS[key]] = _CHECKS[key](text.strip())
    rest = {name: values for name, values in said.items() if name != process}
    return json.dumps({**rest, process: own} if own else rest, sort_keys=True)


def keep(app: App, text: str) -> None:
    App.update(resources=text).where(App.id == app.id).execute()


def require_process(app: App, formation: Collection[str], process: str) -> None:
    """UsageError unless the app has such a process type."""
    there_are = [*sorted(formation), *(name for name in ONE_OFFS if name not in formation)]
    if process_name(process) not in there_are:
        raise UsageError(f"{app.name} has no process type {process!r}.", f"Limits are for: {', '.join(there_are)}.")


def written(bounds: Limits) -> dict[str, str]:
    """In the words of people: {"memory": "512 MB", "cpu": "0.5", "processes": "256"}; "-" for no limit."""
    return {
        "memory": "-" if bounds.memory is None else amount(bounds.memory),
        "cpu": "-" if bounds.cpus is None else f"{bounds.cpus:g}",
        "processes": "-" if bounds.processes is None else str(bounds.processes),
    }


def _memory(text: str) -> int:
    try:
        size = kinds.size(text)
    except ValueError:
        raise UsageError(f"{text[:80]!r} is not an amount of memory.", "For example: --memory 512m, or 2g") from None
    if size < _LEAST_MEMORY:
        raise UsageError(f"{amount(size)} are less than an instance can start in.", "Give 16m or more.")
    has = _machine_memory()
    if size > has:
        raise UsageError(f"{amount(size)} are more than this machine has: {amount(has)}.", "Give an instance less.")
    return size


def _cpus(text: str) -> float:
    try:
        count = kinds.cpus(text) or 0.0
    except ValueError:
        raise UsageError(f"{text[:80]!r} is not a number of CPUs.", "For example: --cpu 0.5, or 2") from None
    if count < _LEAST_CPUS:
        raise UsageError(f"{count:g} of a CPU is less than can be shared out.", f"Give {_LEAST_CPUS} or more.")
    has = os.cpu_count() or 1
    if count > has:
        raise UsageError(f"{count:g} CPUs are more than this machine has: {has}.", "Give an instance less.")
    return count


def _processes(text: str) -> int:
    least, most = _PROCESSES
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not least <= int(text) <= most:
        raise UsageError(
            f"{text[:80]!r} is not a number of processes and threads from {least} to {most}.",
            "For example: --processes 256",
        )
    return int(text)


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


_CHECKS = {"memory": _memory, "cpu": _cpus, "processes": _processes}
