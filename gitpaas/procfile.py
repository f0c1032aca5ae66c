"""Procfile: one process type a line, `web: gunicorn app:app`, as Heroku, foreman and honcho read it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from gitpaas import tree as trees
from gitpaas.errors import BuildFailed, UsageError
from gitpaas.names import process_name

RELEASE = "release"  # runs once for each release, before the switch, and never as an instance

_LINE = re.compile(r"([^:\s]+)\s*:\s*(.*)")


def read(tree: Path) -> dict[str, str] | None:
    """{"web": "python app.py", ...} in the file's order, None without a Procfile."""
    text = trees.read_text(tree, "Procfile")
    return None if text is None else parse(text)


def says_what_runs(processes: Collection[str]) -> bool:
    """Whether there are process types to run: the release phase alone is over before anything does."""
    return any(process != RELEASE for process in processes)


def parse(text: str) -> dict[str, str]:
    """{process type: shell command}. BuildFailed names the line that cannot be understood."""
    processes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, command = _entry(number, stripped)
        if name in processes:
            raise _wrong(number, f"a second {name!r}", "Give each process type one line.")
        processes[name] = command
    return processes


def _entry(number: int, line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if not match:
        raise _wrong(number, f"{line[:60]!r} is not `name: command`", "Write for example: web: python app.py")
    if "\0" in line:
        raise _wrong(number, "a NUL byte", "Save the Procfile as plain text.")
    if not match[2]:
        raise _wrong(number, f"{match[1][:60]!r} has no command", "Write for example: web: python app.py")
    try:
        return process_name(match[1]), match[2]
    except UsageError as error:
        raise _wrong(number, error.message, error.hint or "") from error


def _wrong(number: int, what: str, hint: str) -> BuildFailed:
    return BuildFailed(f"Procfile, line {number}: {what}", step="Procfile", hint=hint)
