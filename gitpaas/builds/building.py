"""From a commit to an artifact: the exported tree, a builder that understands it, and what the tree says of itself."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from gitpaas import appjson, apps, releases, shell
from gitpaas.apps import choosing, declared, options
from gitpaas.artifacts.room import require_room
from gitpaas.config import git_environment
from gitpaas.git import source
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.releases import reuse
from gitpaas.store import App, Build, Release
from gitpaas.values import Artifact, BuildRequest, Limits


def new_release(platform: Platform, app: App, build: Build, out: Output) -> Release:
    """A pending release of what build_artifact() makes."""
    return releases.create(platform, app, build_artifact(platform, app, build, out), build)


def build_artifact(platform: Platform, app: App, build: Build, out: Output) -> Artifact:
    """The commit's tree, or the directory of it that is the app, as a builder makes it."""
    require_room(platform.config, images="image" in platform.artifacts)
    request = _request(platform, app, build)
    repository = platform.config.repository(app.name)
    git_env = {**platform.config.build_environment(), "PATH": git_environment()["PATH"]}
    source.export(repository, build.commit, request.tree, root=request.options.root, env=git_env, warn=out.warn)
    manifest = appjson.read(request.tree)
    if app.release is None:
        declared.take_up(platform, app, manifest, out)
        request = replace(request, env=reuse.environment(platform, app, build))
    else:
        declared.tell(platform, app, manifest, out)
    build.inputs = reuse.inputs(platform, app, build, request.env)
    apps.hand_over(request.tree, request.uid)
    builder, detection = choosing.choose(platform, request)
    build.builder, build.label = builder.name, detection.label if detection else ""
    if detection:
        out.step(f"{detection.label} app detected{f' ({detection.by})' if detection.by else ''}")
    if manifest.cron:
        out.step(f"Cron: {', '.join(f'{one.name} ({one.schedule}, {one.timezone})' for one in manifest.cron)}")
    artifact = choosing.build(platform, builder, request, out)
    build.label, build.details = artifact.label, json.dumps(dict(artifact.details))
    if strangers := sorted(manifest.formation.keys() - artifact.processes.keys()):
        out.warn(f"app.json: its formation names {', '.join(strangers)}, and the app has no such process type.")
    if artifact.kind != "slug":
        shell.remove(request.tree)  # all that the app needs is in the image
    artifact = replace(artifact, health=manifest.health, formation=manifest.formation)
    return replace(artifact, scripts=manifest.scripts, cron=manifest.cron)


def _request(platform: Platform, app: App, build: Build) -> BuildRequest:
    """Empty directories for the build, owned by the app's user, and all it may know."""
    config, user = platform.config, apps.uid(platform.config, app)
    tree, cache = config.slug(app.name, build.id), config.cache(app.name)
    for directory in (tree, cache):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if user is not None:
            os.chown(directory, user, user)
    return BuildRequest(
        app=app.name,
        build=build.id,
        commit=build.commit,
        tree=tree,
        cache=cache,
        env=reuse.environment(platform, app, build),
        uid=user,
        timeout=config.build_timeout,
        limits=Limits(memory=config.build_memory),
        options=options.of_builds(app),
        previous=releases.artifact(live).details if (live := releases.live(app)) else {},
    )
