"""Config vars as text: a .env file, JSON, or commands for a shell. What a text does not say clearly is refused."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from gitpaas.errors import UsageError
from gitpaas.names import settable_name, variable_value

_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-]*")  # means itself, quoted or not, wherever it is read
_ALL_OR_NOTHING = "Nothing was changed."


def parse(text: str, style: str) -> dict[str, str]:
    """Names and values of a text in the format `env` or `json`. UsageError says which line is off, never a value."""
    found = _read_json(text) if style == "json" else _read_env(text)
    if not found:
        raise UsageError("There is nothing in it.", _ALL_OR_NOTHING)
    return found


def write(values: Mapping[str, str], style: str) -> str:
    """All of them as `env` (which parse() reads back exactly), `json`, or `shell`: commands that export them."""
    return _WRITERS[style](values)


def _read_env(text: str) -> dict[str, str]:
    """As python-dotenv reads it: comments, `export`, quotes that span lines, escapes in them; $ means itself."""
    from dotenv.parser import parse_stream  # late: only who imports needs it

    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            _refuse(f"line {line}", "it is not NAME=VALUE; a value with quotes or of several lines needs quotes")
        if binding.key is not None and binding.value is not None:
            _add(found, binding.key, binding.value, f"line {line}")
    return found


def _read_json(text: str) -> dict[str, str]:
    """An object of texts. Not of numbers: 1.0 or 1e3 would not stay what was written."""
    try:
        document = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        _refuse(f"line {getattr(error, 'lineno', 1)}", "it is not JSON")
    if not isinstance(document, _Pairs):
        _refuse("the whole of it", 'it is not an object such as {"NAME": "VALUE"}')
    found: dict[str, str] = {}
    for name, value in document.pairs:
        if not isinstance(value, str):
            _refuse(f"entry {len(found) + 1}", "its value is not a text in quotes")
        _add(found, name, value, f"entry {len(found) + 1}")
    return found


class _Pairs:
    """A JSON object with all that was written in it, the same name twice too."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.pairs = list(pairs)


def _add(found: dict[str, str], name: str, value: str, where: str) -> None:
    try:
        settable_name(name)
        variable_value(value)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", f"{error.hint}\n{_ALL_OR_NOTHING}") from error
    if name in found:
        _refuse(where, f"{name} is there already")
    found[name] = value


def _refuse(where: str, why: str) -> NoReturn:
    raise UsageError(f"{where}: {why}.", _ALL_OR_NOTHING)


def _write_env(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    """In a way that most readers of .env files understand alike, where there is one: without escapes."""
    if _PLAIN.fullmatch(value):
        return value
    if "'" in value and not re.search(r'["\\$`\n\r]', value):
        return f'"{value}"'
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _write_json(values: Mapping[str, str]) -> str:
    return json.dumps(dict(values), indent=2, ensure_ascii=False) + "\n"


def _write_shell(values: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


_WRITERS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "env": _write_env,
    "json": _write_json,
    "shell": _write_shell,
}
