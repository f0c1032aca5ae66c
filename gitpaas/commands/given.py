"""What a command is given to read: a file at the machine itself, or standard input."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from gitpaas.commands.call import Call
from gitpaas.errors import UsageError

Value = TypeVar("Value")


def read(call: Call, source: str, hint: str) -> bytes:
    """The whole of a file, or of standard input for `-`. UsageError, with `hint`, when there is no such thing."""
    if source != "-":
        return _file(call, source, hint)
    if call.console.tty:
        raise UsageError("Standard input is a terminal: it has to come from a file or a program.", hint)
    return call.console.read()


def read_text(call: Call, source: str, hint: str) -> str:
    """The same as text."""
    try:
        return read(call, source, hint).decode()
    except UnicodeDecodeError as error:
        raise UsageError("That is not UTF-8 text.", "Encode binary values, for example with base64.") from error


def once(pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """By name. UsageError when one is given twice: nobody can know which is meant."""
    found: dict[str, Value] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"{name} is given twice.", "Give each name one value.")
        found[name] = value
    return found


def _file(call: Call, name: str, hint: str) -> bytes:
    if not call.is_local:
        raise UsageError("Files of yours are not here.", hint)
    try:
        return Path(name).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}", hint) from error
