"""Images of any language without a Dockerfile: Railpack makes a plan of the tree, BuildKit an image of the plan.

Config vars reach the steps as BuildKit secrets: by name in the plan, by value through BuildKit's session, and neither
in an argument list nor in a layer. A hash of their values is all that BuildKit's cache knows of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gitpaas import procfile
from gitpaas.builders import railpack_look, railpack_run
from gitpaas.builders.fingerprint import fingerprint
from gitpaas.builders.railpack_analysis import Analysis
from gitpaas.builders.railpack_secrets import for_steps, own_name
from gitpaas.builders.workshop import Workshop
from gitpaas.buildkit import BuildKit, Job
from gitpaas.config import Config
from gitpaas.engine.client import Engine
from gitpaas.engine.images import Images
from gitpaas.output import Output
from gitpaas.toolchain import Toolchain
from gitpaas.toolchain.pins import shipped
from gitpaas.values import Artifact, ArtifactKind, BuildRequest, Detection, Env, Secret

_FRONTEND = "ghcr.io/railwayapp/railpack-frontend"
_PLAN = "railpack-plan.json"


class RailpackBuilder:
    name = "railpack"
    kind: ArtifactKind = "image"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._tools = Toolchain(config)
        self._buildkit = BuildKit(config)

    def detect(self, tree: Path) -> Detection | None:
        label = railpack_look.look(tree)
        return Detection(self.name, label, by=_by(_pinned())) if label else None

    def build(self, request: BuildRequest, out: Output) -> Artifact:
        written = procfile.read(request.tree) or {}
        if not _may_know(request):
            raise railpack_look.nothing_found(request.tree)
        shop = Workshop(self._config, request, out)
        analysis = railpack_run.analyse(shop, self._tools)
        for line in analysis.lines():
            out.detail(line)
        secrets = for_steps(analysis.secrets, request)
        with _written(plan_for(analysis, request), self._config, request.app) as definition:
            job = job_for(self._config, request, analysis, secrets, definition)
            image = self._buildkit.build(replace(job, timeout=shop.left()), out)
        return Artifact(
            kind="image",
            reference=image,
            builder=self.name,
            label=f"{analysis.label or railpack_look.look(request.tree)} ({_by(_version(analysis))})",
            processes=_processes(written, analysis.start),
            size=Images(Engine(self._config)).inspect(image).size,
            details=analysis.details | {"Railpack": _version(analysis)},
        )


def _may_know(request: BuildRequest) -> bool:
    """Whether it is worth asking Railpack: its settings can explain a tree whose files do not."""
    return railpack_look.look(request.tree) is not None or any(name.startswith("RAILPACK_") for name in request.env)


def plan_for(analysis: Analysis, request: BuildRequest) -> dict[str, Any]:
    """The plan as the frontend gets it.

    No step of one app comes out of another's cache, be the tree the same: it could hold a secret that its hash does
    not cover, or have been put there for this one to find (what a step finds in a directory that it caches is no part
    of what BuildKit knows it by). A secret of the app's own name, given to each step, sees to that.
    """
    plan = dict(analysis.plan or {})
    plan["secrets"] = [*analysis.secrets, own_name(request.app)]
    plan["steps"] = [_with_caches(step, _unwanted_caches(request.env)) for step in plan.get("steps") or ()]
    return plan


def job_for(
    config: Config, request: BuildRequest, analysis: Analysis, secrets: Mapping[str, Secret], definition: Path
) -> Job:
    hashed = {"build-arg:secrets-hash": fingerprint(config, request.app, secrets)} if secrets else {}
    return Job(
        app=request.app,
        build=request.build,
        tree=request.tree,
        context=request.tree,
        definition=definition,
        frontend="gateway.v0",
        options={
            "source": f"{_FRONTEND}:v{_version(analysis)}",
            "filename": _PLAN,
            # The frontend adds "-npm": without the colon what shop calls "api-npm" would be the "npm" of shop-api.
            "build-arg:cache-key": f"{request.app}:",
            **hashed,
        },
        secrets={**secrets, own_name(request.app): Secret("1")},
        timeout=request.timeout,
    )


@contextmanager
def _written(plan: Mapping[str, Any], config: Config, app: str) -> Iterator[Path]:
    """A directory with the plan in it. It holds no values."""
    with railpack_run.desk(config, app, "plan") as directory:
        (directory / _PLAN).write_text(json.dumps(plan))
        yield directory


def _processes(written: Mapping[str, str], start: str) -> dict[str, str]:
    """A Procfile's commands as they stand; the plan's own start when it has none or only `release`."""
    return dict(written) if procfile.says_what_runs(written) else {"web": start, **written}


def _unwanted_caches(env: Env) -> set[str]:
    """RAILPACK_DISABLE_CACHES, which Railpack's frontend would look for in an environment that is not ours to set."""
    value = env.get("RAILPACK_DISABLE_CACHES", "")
    return set((value.reveal() if isinstance(value, Secret) else value).split())


def _with_caches(step: Mapping[str, Any], unwanted: set[str]) -> dict[str, Any]:
    caches = [] if "*" in unwanted else [name for name in step.get("caches") or () if name not in unwanted]
    return {**step, "caches": caches} if step.get("caches") else dict(step)


def _version(analysis: Analysis) -> str:
    """Of the Railpack that made the plan, for the frontend must be the same; one built by hand may call itself dev."""
    numbered = re.fullmatch(r"v?(\d+\.\d+\.\d+)", analysis.version)
    return numbered[1] if numbered else _pinned()


def _pinned() -> str:
    return shipped().tools["railpack"].version


def _by(version: str) -> str:
    return f"Railpack {version.rpartition('.')[0]}"
