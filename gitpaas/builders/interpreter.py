"""Which Python an app wants, and where one is: the server's own when that will do, else found or fetched with uv.

Looked for outside the sandbox, among the operator's programs only: a version file of the pushed tree is read as a
version and never as a path.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from gitpaas import locks, shell
from gitpaas import tree as trees
from gitpaas.builders import programs
from gitpaas.config import Config
from gitpaas.errors import BuildFailed, CommandFailed
from gitpaas.output import Output

_VERSION = re.compile(r"(?:c?python[-@]?)?(\d+(?:\.\d+){0,2})")
_ASK = (
    "import json,os,platform,sys;"
    "print(json.dumps([os.path.realpath(sys._base_executable),sys.base_prefix,platform.python_version()]))"
)


@dataclass(frozen=True)
class Wanted:
    """`spec`: "3.12", "3.12.4", ">=3.11,<3.14", or None for any. `origin`: the file that says so."""

    spec: str | None
    origin: str


@dataclass(frozen=True)
class Interpreter:
    executable: str
    prefix: str
    version: str


def wanted(tree: Path, requires_python: str | None) -> Wanted:
    """.python-version, else Heroku's runtime.txt, else requires-python. BuildFailed for what names no CPython."""
    for name in (".python-version", "runtime.txt"):
        if (text := trees.read_text(tree, name)) is not None:
            return Wanted(_plain_version(name, text), name)
    if requires_python:
        _check_range(requires_python)
        return Wanted(requires_python, "requires-python")
    return Wanted(None, "")


def resolve(config: Config, want: Wanted, out: Output, timeout: float) -> Interpreter:
    """An interpreter that will do; fetched when the machine has none. BuildFailed says what there is instead."""
    own = _own()
    if want.spec is None or satisfies(own.version, want.spec):
        return own
    with locks.held(config.locks / "toolchain-python"):
        found = _find(config, want.spec)
        if found is None:
            out.step(f"Fetching Python {want.spec} ({want.origin})")
            _fetch(config, want.spec, out, timeout)
            found = _find(config, want.spec)
    if found is None:
        raise _missing(config, want)
    return found


def satisfies(version: str, spec: str) -> bool:
    """3.11.7 satisfies "3", "3.11", "3.11.7" and ">=3.10"."""
    if spec[0].isdigit():
        return version == spec or version.startswith(f"{spec}.")
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(spec).contains(version, prereleases=True)


def _check_range(requires_python: str) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(requires_python)
    except InvalidSpecifier as error:
        raise BuildFailed(
            f"requires-python in pyproject.toml is not a version range: {requires_python[:60]!r}",
            step="pyproject.toml",
            hint='Write for example: requires-python = ">=3.11"',
        ) from error


def _plain_version(name: str, text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    match = _VERSION.fullmatch(lines[0]) if lines else None
    if not match:
        raise BuildFailed(
            f"{name} asks for {(lines or [''])[0][:40]!r}, which is not a version of CPython",
            step=name,
            hint="Write for example: 3.12",
        )
    return match[1]


def _own() -> Interpreter:
    executable = getattr(sys, "_base_executable", None) or sys.executable
    return Interpreter(str(Path(executable).resolve()), sys.base_prefix, platform.python_version())


def _find(config: Config, spec: str) -> Interpreter | None:
    argv = [programs.uv(), "python", "find", "--no-project", "--system", "--no-python-downloads", spec]
    try:
        path = shell.capture(argv, env=_environment(config), cwd=Path("/")).decode().strip()
        asked = shell.capture([path, "-I", "-c", _ASK], env=programs.environment(config), cwd=Path("/"))
    except CommandFailed:
        return None
    executable, prefix, version = json.loads(asked)
    return Interpreter(executable, prefix, version) if satisfies(version, spec) else None


def _fetch(config: Config, spec: str, out: Output, timeout: float) -> None:
    """Try. Whether it worked shows when it is looked for again."""
    argv = [programs.uv(), "python", "install", "--no-bin", spec]
    env = {**_environment(config), "UV_HTTP_RETRIES": "1"}
    try:
        programs.run(config, argv, timeout, out=out, env=env)
    except CommandFailed as error:
        out.detail(error.message)


def _missing(config: Config, want: Wanted) -> BuildFailed:
    there = ", ".join(_installed(config))
    return BuildFailed(
        f"{want.origin} asks for Python {want.spec}, which is not on this machine and could not be fetched",
        step=want.origin,
        hint=f"There is: {there}. Ask for one of these, or have the operator install Python {want.spec}.",
    )


def _installed(config: Config) -> list[str]:
    argv = [programs.uv(), "python", "list", "--only-installed", "--no-python-downloads", "--output-format", "json"]
    try:
        listing = json.loads(shell.capture(argv, env=_environment(config), cwd=Path("/")))
    except (CommandFailed, ValueError):
        return [_own().version]
    versions = {entry["version"] for entry in listing if entry["implementation"] == "cpython"}
    return sorted(versions, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])


def _environment(config: Config) -> dict[str, str]:
    """uv looks along PATH: without pyenv's shims, which answer for versions that are not switched on, but with
    what pyenv and uv themselves have installed."""
    environment = programs.environment(config)
    home = Path(config.environ.get("HOME", "/nonexistent"))
    path = [entry for entry in environment["PATH"].split(":") if entry and Path(entry).name != "shims"]
    for place in (".pyenv/versions", ".local/share/uv/python"):
        path += sorted(map(str, (home / place).glob("*/bin")), reverse=True)
    return environment | {"PATH": ":".join(path), "UV_PYTHON_INSTALL_DIR": str(config.toolchain / "python")}
