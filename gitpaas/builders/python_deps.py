"""What a Python tree says it depends on: uv.lock, else pyproject.toml, else requirements.txt, else nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gitpaas import tree as trees
from gitpaas.errors import BuildFailed

Source = Literal["uv.lock", "pyproject.toml", "requirements.txt", "no dependencies"]
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")
_LOCAL = re.compile(r"(?:-e|--editable)[\s=]*(?!git\+|https?:)\S|\.{0,2}/|\.{1,2}(?:\[|\s|$)|file:|\S+\s*@\s*file:")
_MOST = 100  # requirements files; links that lead back give each of them endless names
_LARGEST = 128 * 1024  # of pyproject.toml: some of what it may say takes time with the square of its length


@dataclass(frozen=True)
class Dependencies:
    """`source` decides; `inputs` are all files that can change what gets installed."""

    source: Source
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    requires_python: str | None = None
    packaged: bool = False  # pyproject.toml makes the project itself a package
    local: bool = False  # some dependency lies in the tree: its source is part of what gets installed


def read(tree: Path) -> Dependencies | None:
    """None when the tree declares nothing. BuildFailed for a file that cannot be read."""
    project = _pyproject(tree)
    source = _source(tree, project)
    if source is None:
        return None
    settings = {n: data for n in ("pyproject.toml", "uv.toml", "uv.lock") if (data := trees.read_bytes(tree, n))}
    requirements = _requirements(tree) if source == "requirements.txt" else {}
    return Dependencies(
        source=source,
        inputs={**settings, **requirements},
        requires_python=_requires_python(project),
        packaged=source != "requirements.txt" and _is_packaged(project),
        local=_has_local(source, project, requirements),
    )


def _pyproject(tree: Path) -> dict[str, Any] | None:
    text = trees.read_text(tree, "pyproject.toml", _LARGEST)
    if text is None:
        return None
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BuildFailed(
            f"pyproject.toml: {error}", step="pyproject.toml", hint="Mend it, commit, push again."
        ) from error


def _source(tree: Path, project: Mapping[str, Any] | None) -> Source | None:
    requirements = trees.has_file(tree, "requirements.txt")
    if project is not None and trees.has_file(tree, "uv.lock"):
        return "uv.lock"
    if project is not None and _declares(project, beside_requirements=requirements):
        return "pyproject.toml"
    return "requirements.txt" if requirements else None


def _declares(project: Mapping[str, Any], *, beside_requirements: bool) -> bool:
    """A pyproject.toml that only configures tools, or leaves dependencies to requirements.txt, declares none."""
    table = _table(project, "project")
    if not beside_requirements:
        return bool(table) or _is_packaged(project)
    dynamic = table.get("dynamic")
    return "dependencies" in table or (isinstance(dynamic, list) and "dependencies" in dynamic)


def _is_packaged(project: Mapping[str, Any] | None) -> bool:
    """uv's own rule: a build system makes a package, unless tool.uv.package says otherwise."""
    if project is None:
        return False
    chosen = _table(_table(project, "tool"), "uv").get("package")
    return bool(chosen) if chosen is not None else "build-system" in project


def _requires_python(project: Mapping[str, Any] | None) -> str | None:
    value = _table(project or {}, "project").get("requires-python")
    return value if isinstance(value, str) else None


def _has_local(source: Source, project: Mapping[str, Any] | None, requirements: Mapping[str, bytes]) -> bool:
    if source == "requirements.txt":
        text = b"\n".join(requirements.values()).decode("utf-8", "replace")
        return any(_LOCAL.match(line.strip()) for line in text.splitlines())
    uv = _table(_table(project or {}, "tool"), "uv")
    sources = str(uv.get("sources", ""))
    if "workspace" in uv or "'path':" in sources or "'workspace':" in sources:
        return True
    # Without a [project] table only the build system knows the dependencies: it must see the whole tree.
    return "project" not in (project or {}) and _is_packaged(project)


def _requirements(tree: Path) -> dict[str, bytes]:
    """requirements.txt and all that it includes, by name; each once, whoever includes whom. BuildFailed for a maze."""
    found: dict[str, bytes] = {}
    waiting = ["requirements.txt"]
    while waiting:
        name = waiting.pop()
        data = None if name in found else trees.read_bytes(tree, name)
        if data is not None:
            if len(found) >= _MOST:
                raise BuildFailed(f"requirements.txt includes more than {_MOST} files", step="requirements.txt")
            found[name] = data
            waiting += _included(name, data)
    return found


def _included(name: str, data: bytes) -> list[str]:
    lines = data.decode("utf-8", "replace").splitlines()
    matches = {match[1] for line in lines if (match := _INCLUDE.match(line.strip()))}
    return [os.path.normpath(Path(name).parent / to) for to in matches if "://" not in to]


def _table(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = value.get(name)
    return table if isinstance(table, dict) else {}
