"""Builds that need not be done: what a build depends on, as a digest, and an artifact that is kept of the same.

It depends on the tree (not the commit, unless the tree asks for that), on what people chose for the app's builds, on
the builders and their versions, and on what the build may see: config vars and the server's own variables. Versions
that it resolves by itself (packages without a lock file, a base image's tag) are those of the first time; `ps:rebuild`
resolves them anew, and so it always builds.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path, PurePosixPath

from gitpaas import locks, releases
from gitpaas.apps import configvars, options
from gitpaas.git import repository
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.store import App, Build, Release
from gitpaas.values import Env, revealed

_COMMIT = "SOURCE_VERSION"  # the name under which builds are told the commit


def environment(platform: Platform, app: App, build: Build) -> Env:
    """All that a build may see: config vars are today's, or those of the release that it brings back."""
    older = releases.find(app, build.restores) if build.restores else None
    variables = configvars.of_release(platform, older) if older else configvars.current(platform, app)
    return {**platform.config.build_environment(), **variables}


def inputs(platform: Platform, app: App, build: Build, env: Env) -> str:
    """What the build depends on when it sees this environment, as a digest. Empty where that cannot be known."""
    chosen, variables = options.of_builds(app), revealed(env)
    path = platform.config.repository(app.name)
    source = _source(path, build.commit, chosen.root)
    if source is None:
        return ""
    if _asks_for_commit(path, build.commit) or any(_COMMIT in value for value in variables.values()):
        source.append(build.commit)
    parts = [source, asdict(chosen), list(platform.builder_versions.items()), sorted(variables.items())]
    return platform.store.seal.digest(json.dumps(["inputs", *parts]))


def known_release(platform: Platform, app: App, build: Build, out: Output) -> Release | None:
    """A pending release, when an earlier one was made of the same and what that runs is kept. None: build it."""
    if app.release is None or (build.previous == build.commit and not build.restores):  # nothing yet, or ps:rebuild
        return None
    build.inputs = inputs(platform, app, build, environment(platform, app, build))
    with locks.held(platform.config.artifacts_lock(app.name)):
        same = _kept(platform, app, build)
        if same is None:
            return None
        made = releases.artifact(same)
        build.builder, build.label, build.details = made.builder, made.label, json.dumps(dict(made.details))
        out.step(f"Using the build of v{same.number}: same tree, builder and config vars")
        return releases.create(platform, app, made, build)


def _kept(platform: Platform, app: App, build: Build) -> Release | None:
    """The newest release that was made of the same and whose artifact is kept."""
    alike = Release.select().where(Release.app == app, Release.status == "live", Release.inputs == build.inputs)
    looked_at: set[str] = set()  # many releases may share one
    for release in alike.order_by(Release.number.desc()) if build.inputs else ():
        reference = releases.artifact(release).reference
        if reference not in looked_at and releases.is_kept(platform, release):
            return release
        looked_at.add(reference)
    return None


def _source(path: Path, commit: str, root: str | None) -> list[str] | None:
    """What of the commit is built: the tree's id, and those of what decides on its files from above it."""
    if root is None:
        return [repository.commit(path, commit).tree]
    above = [str(parent / ".gitattributes") for parent in PurePosixPath(root).parents]
    entries = repository.entries(path, commit, [root, *above])
    if not entries.get(root, "").startswith("tree "):
        return None
    return [f"{name} {entries[name]}" for name in sorted(entries)]


@lru_cache(maxsize=16)
def _asks_for_commit(path: Path, commit: str) -> bool:
    """Nobody looks into submodules: those may do so."""
    return bool(repository.entries(path, commit, [".gitmodules"])) or repository.mentions(path, commit, _COMMIT)
