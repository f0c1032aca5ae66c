"""What people chose for an app's builds and instances, beyond what its tree says. Kept with the app, as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from gitpaas import apps
from gitpaas.errors import UsageError
from gitpaas.names import variable_name, variable_value
from gitpaas.platform import Platform
from gitpaas.store import App
from gitpaas.values import BuildOptions, HealthCheck, RunOptions

BUILD_KEYS = ("builder", "root", "dockerfile", "target", "arg:NAME")
RUN_KEYS = ("port", "read-only")
CHECK_KEYS = ("path", "timeout")

_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LONGEST = 200  # characters of a path
_ARG = "arg:"
_WORDS = {"on": True, "off": False}

Options = TypeVar("Options", BuildOptions, RunOptions)


def of_builds(app: App) -> BuildOptions:
    return _read(BuildOptions, app.build_options)


def of_instances(app: App) -> RunOptions:
    return _read(RunOptions, app.run_options)


def change_builds(now: BuildOptions, changes: Mapping[str, str]) -> BuildOptions:
    """The options after `changes` (builder, root, dockerfile, target, arg:NAME; an empty text unsets). UsageError for
    what no build could use; whether this server has the builder is not looked at."""
    for key, value in changes.items():
        if key.startswith(_ARG):
            now = replace(now, args=_argument(now.args, key.removeprefix(_ARG), value))
        elif key in _CHECKS:
            chosen: dict[str, Any] = {key: _CHECKS[key](value) if value else None}
            now = replace(now, **chosen)
        else:
            raise unknown(key, BUILD_KEYS)
    if now.builder not in (None, "dockerfile") and (now.dockerfile or now.target or now.args):
        raise UsageError(
            f"dockerfile, target and arg:NAME say how a Dockerfile is built, and the builder is {now.builder}.",
            "Unset them (dockerfile= target= arg:NAME=), or the builder (builder=).",
        )
    return now


def change_instances(now: RunOptions, changes: Mapping[str, str]) -> RunOptions:
    """The same for port (1 to 65535) and read-only (on, off)."""
    for key, value in changes.items():
        if key == "port":
            now = replace(now, port=_port(value) if value else None)
        elif key == "read-only":
            now = replace(now, read_only=_switch(value or "off"))
        else:
            raise unknown(key, RUN_KEYS)
    return now


def change_checks(now: RunOptions, changes: Mapping[str, str], longest: float) -> RunOptions:
    """The same for path and timeout (seconds, at most `longest`) of the health check."""
    for key, value in changes.items():
        if key == "path":
            now = replace(now, check_path=_url_path(value) if value else None)
        elif key == "timeout":
            now = replace(now, check_timeout=_seconds(value, longest) if value else None)
        else:
            raise unknown(key, CHECK_KEYS)
    return now


def unknown(key: str, known: tuple[str, ...]) -> UsageError:
    """For a key that is none of these."""
    return UsageError(f"{key[:80]!r} is not an option.", f"There are: {', '.join(known)}.")


def health_check(now: RunOptions, check: HealthCheck) -> HealthCheck:
    """The tree's own check, with what people chose in its place."""
    return HealthCheck(now.check_path or check.path, now.check_timeout or check.timeout)


def update(platform: Platform, app: App, of: Callable[[App], Options], change: Callable[[Options], Options]) -> Options:
    """What holds after a change, written down. Of two at once neither undoes the other's: it reads again."""
    with platform.store.transaction():
        chosen = change(of(apps.now(app)))
        keep(app, chosen)
    return chosen


def keep(app: App, chosen: BuildOptions | RunOptions) -> None:
    """Write them down."""
    column = App.build_options if isinstance(chosen, BuildOptions) else App.run_options
    App.update({column: json.dumps(asdict(chosen))}).where(App.id == app.id).execute()


def written(chosen: BuildOptions | RunOptions) -> dict[str, str]:
    """As they are typed, without those that nobody set: {"root": "web", "arg:NODE_ENV": "test"}."""
    if isinstance(chosen, RunOptions):
        own = {"port": str(chosen.port or ""), "read-only": "on" if chosen.read_only else ""}
    else:
        own = {key: getattr(chosen, key) or "" for key in BUILD_KEYS if key in _CHECKS}
        own |= {f"{_ARG}{name}": value for name, value in sorted(chosen.args.items())}
    return {key: value for key, value in own.items() if value}


def _read(kind: type[Options], text: str) -> Options:
    """Fields of a later version are left alone: somebody went back to this one."""
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in json.loads(text).items() if name in known})


def _argument(args: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    variable_name(name)
    others = {other: text for other, text in args.items() if other != name}
    return {**others, name: variable_value(value)} if value else others


def _path(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or text.startswith("/") or ".." in parts or not text.isprintable() or len(text) > _LONGEST:
        raise UsageError(
            f"{text[:80]!r} is not a path inside the repository.", "Write it from the top, without ..: apps/web"
        )
    return "/".join(parts)


def _directory(text: str) -> str | None:
    return None if text in (".", "./") else _path(text)  # the top, as when nothing is chosen


def _stage(text: str) -> str:
    if not _STAGE.fullmatch(text):
        raise UsageError(f"{text[:80]!r} is not a stage of a Dockerfile.", "For example: target=production")
    return text


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise UsageError(f"{text[:80]!r} is not a port.", "Give a number from 1 to 65535: port=8080")
    return int(text)


def _switch(text: str) -> bool:
    if text not in _WORDS:
        raise UsageError(f"{text[:80]!r} is neither on nor off.", "For example: read-only=on")
    return _WORDS[text]


def _url_path(text: str) -> str:
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text or len(text) > _LONGEST:
        raise UsageError(f"{text[:80]!r} is not a path of an address.", "For example: path=/up")
    return text


def _seconds(text: str, longest: float) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?s?", text, re.ASCII) or not float(text.removesuffix("s")):
        raise UsageError(f"{text[:80]!r} is not a number of seconds above 0.", "For example: timeout=30")
    if float(text.removesuffix("s")) > longest:
        raise UsageError(
            f"This server waits {longest:g} seconds for a new instance at most.",
            "Its operator says so with the setting start_timeout.",
        )
    return float(text.removesuffix("s"))


_CHECKS: dict[str, Any] = {"builder": str, "root": _directory, "dockerfile": _path, "target": _stage}
