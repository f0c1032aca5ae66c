"""The slug builder: the tree itself, made ready to run by what is found in it, without any container.

Which kinds build a tree, and which of them leads (decides the web process when there is no Procfile):

- package.json together with declared Python dependencies: both are built, Node first, so that the assets its `build`
  script makes are there for Python. Python leads, unless only package.json knows a start: a `start` script, and no
  Python file to start from. A package.json with neither `build` nor `start` (linters, say) is then left alone.
- else Python, Node, a Procfile or start.sh, static files: the first that understands the tree.

A Procfile's commands are taken as they stand. Without one, or with one that has only `release`, there is the web
process that the leading kind finds, or else start.sh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gitpaas import procfile
from gitpaas import tree as trees
from gitpaas.builders import meant, node, plain, python, static
from gitpaas.builders.python_start import may_start
from gitpaas.builders.workshop import Built, Workshop
from gitpaas.config import Config
from gitpaas.errors import BuildFailed
from gitpaas.output import Output
from gitpaas.values import Artifact, ArtifactKind, BuildRequest, Detection

_ADD = (
    "Add one of: a Procfile (web: ./run), start.sh, requirements.txt, pyproject.toml, main.py, package.json, "
    "or index.html (also in public/ or dist/). They are looked for at the top of the repository."
)


class Kind(Protocol):
    """One kind of app: python.py, node.py, plain.py, static.py."""

    name: str

    def detect(self, tree: Path) -> bool: ...

    def build(self, shop: Workshop, *, leads: bool) -> Built: ...


# Adding a kind is one file and its name here. The order matters: the first that detects the tree builds it.
KINDS: tuple[Kind, ...] = (python, node, plain, static)


class SlugBuilder:
    name = "slug"
    kind: ArtifactKind = "slug"

    def __init__(self, config: Config) -> None:
        self._config = config

    def detect(self, tree: Path) -> Detection | None:
        kinds = stages(tree)
        return Detection(self.name, " and ".join(kind.name for kind in kinds)) if kinds else None

    def build(self, request: BuildRequest, out: Output) -> Artifact:
        kinds = stages(request.tree)
        if not kinds:
            raise nothing_found(request.tree)
        written = procfile.read(request.tree) or {}
        _check_startable(request.tree, written, kinds)
        shop = Workshop(self._config, request, out)
        leader = _leader(request.tree, kinds)
        built = [kind.build(shop, leads=kind is leader) for kind in kinds]
        processes = _processes(request.tree, written, built)
        mounts = tuple(dict.fromkeys(mount for part in built for mount in part.mounts))
        return Artifact(
            kind="slug",
            reference=str(request.tree),
            builder=self.name,
            label=" and ".join(part.label for part in built),
            processes=processes,
            env=_environment(shop, built),
            mounts=mounts,
            size=trees.size(request.tree),
        )


def stages(tree: Path) -> tuple[Kind, ...]:
    """The kinds that build this tree, in order. Empty when nothing understands it."""
    if node.detect(tree) and python.declares(tree):
        return (node, python) if {"build", "start"} & node.read(tree).scripts.keys() else (python,)
    if node.detect(tree):
        return (node,)
    return next(((kind,) for kind in KINDS if kind.detect(tree)), ())


def is_app(tree: Path) -> bool:
    """What is wrong with a part of a tree that nobody has asked for is no reason to fail."""
    with suppress(BuildFailed):
        return any(kind.detect(tree) for kind in KINDS)
    return False


def nothing_found(tree: Path, add: str = _ADD, is_app: Callable[[Path], bool] = is_app) -> BuildFailed:
    """What was looked for (`add` says it as what to do), and what is there instead."""
    names = sorted(entry.name for entry in tree.iterdir())
    there = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    has = f"The repository has only: {there}" if names else "The repository is empty"
    hint = "\n".join([*meant.misnamed(names), *meant.further_down(tree, is_app), add])
    return BuildFailed(f"Nothing here says how to run this app. {has}", step="detect", hint=hint)


def _leader(tree: Path, kinds: tuple[Kind, ...]) -> Kind:
    if kinds == (node, python) and "start" in node.read(tree).scripts and not may_start(tree):
        return node
    return kinds[-1]


def _processes(tree: Path, written: Mapping[str, str], built: list[Built]) -> dict[str, str]:
    """BuildFailed when there is nothing to start."""
    if procfile.says_what_runs(written):
        return dict(written)
    found = {name: command for part in built for name, command in part.processes.items()}
    start = plain.start_command(tree)
    if not found and start:
        found = {"web": start}
    if not found:
        raise _no_start(built[-1].label)
    return {**found, **written}


def _check_startable(tree: Path, written: Mapping[str, str], kinds: tuple[Kind, ...]) -> None:
    """Say it before minutes of installing, where it can be known."""
    if procfile.says_what_runs(written) or plain.start_command(tree):
        return
    if kinds == (python,) and not may_start(tree):
        raise _no_start("Python")


def _no_start(label: str) -> BuildFailed:
    example = "web: node server.js" if label.startswith("Node") else "web: python server.py"
    return BuildFailed(
        f"{label}: nothing says how to start it",
        step="detect",
        hint=f"Add a Procfile with a line such as `{example}`; the web process must listen on 127.0.0.1:$PORT.",
    )


def _environment(shop: Workshop, built: list[Built]) -> dict[str, str]:
    env = {name: value for part in built for name, value in part.env.items()}
    # The leading kind comes last and its programs first.
    directories = [directory for part in reversed(built) for directory in part.path]
    return {**env, "PATH": ":".join(dict.fromkeys((*directories, *shop.system_path.split(":"))))}
