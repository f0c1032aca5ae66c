"""What is kept on the disk for rollback, and what goes: artifacts by the releases that need them, and logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from peewee import fn

from gitpaas import locks, releases
from gitpaas.artifacts import Needed
from gitpaas.errors import Conflict, RuntimeFailed
from gitpaas.platform import Platform
from gitpaas.store import App, Build, Release

if TYPE_CHECKING:
    from peewee import ModelSelect

_log = logging.getLogger(__name__)

_BUILDS = 100  # of each app that are remembered, with their logs
_OUTPUTS = 100  # of its releases, the newest, whose commands' output is; and of the pinned ones


@contextmanager
def removed_unless_live(platform: Platform, app: App, build: Build) -> Iterator[None]:
    """What a failed build leaves on the disk goes at once: a full disk may be why it failed."""
    try:
        yield
    except BaseException:
        if releases.made_by(build) is None:
            for artifacts in platform.artifacts.values():
                artifacts.discard(app.name, build.id)
        raise


def prune(platform: Platform, app: App) -> bool:
    """Remove the artifacts that no kept release needs: the last few live ones and the pinned, what is built, what runs.
    Whether it could be done now.

    Not while somebody changes what runs, perhaps back to what we are about to remove: then next time. Nor while it
    cannot be told what runs: a deploy that is live does not fail of that."""
    with locks.held(platform.config.rollout_lock(app.name), wait=False) as is_quiet:
        try:
            if is_quiet and (now := App.get_or_none(App.id == app.id)):
                _prune(platform, now)
        except RuntimeFailed as error:
            _log.warning("what %s needs no more stays for now: %s", app.name, error.message)
            return False
        return is_quiet


def pin(platform: Platform, app: App, release: Release) -> None:
    """From now on its artifact stays whatever comes after it. NotKept when it has gone, Conflict for one never live."""
    if release.status != "live":
        raise Conflict(f"v{release.number} never went live: there is nothing to keep of it.")
    with locks.held(platform.config.artifacts_lock(app.name)):
        hint = f"Go back to it first: ssh paas rollback {app.name} v{release.number}"
        releases.require_kept(platform, release, hint)
        Release.update(pinned=True).where(Release.id == release.id).execute()


def unpin(platform: Platform, app: App, release: Release) -> None:
    """What it runs goes when its time has come, as that of others does; perhaps at once."""
    Release.update(pinned=False).where(Release.id == release.id).execute()
    prune(platform, app)


def forget_builds(platform: Platform, app: App) -> None:
    """Rows and logs of the oldest builds go. Releases do without: they know commit and artifact themselves."""
    ended = Build.select(Build.id).where(Build.app == app, Build.finished_at.is_null(False))
    for build in ended.order_by(Build.id.desc()).offset(_BUILDS):
        platform.config.build_log(app.name, build.id).unlink(missing_ok=True)
        Build.delete().where(Build.id == build.id).execute()


def _prune(platform: Platform, app: App) -> None:
    with locks.held(platform.config.artifacts_lock(app.name)):
        for artifacts in platform.artifacts.values():
            artifacts.prune(app.name, partial(_needed, platform, app, artifacts.kind))
    _forget_outputs(platform, app)


def _forget_outputs(platform: Platform, app: App) -> None:
    ours = Release.select(Release.id).where(Release.app == app)
    known = {release.id for release in ours.order_by(Release.number.desc()).limit(_OUTPUTS)}
    known |= {release.id for release in ours.where(Release.pinned | (Release.number == app.release))}
    for log in platform.config.release_log(app.name, 0).parent.glob("*"):
        if log.stem not in map(str, known):
            log.unlink(missing_ok=True)


def _needed(platform: Platform, app: App, kind: str) -> Needed:
    made = {release.number: releases.artifact(release) for release in _kept(platform, app)}
    kept = {number: artifact for number, artifact in made.items() if artifact.kind == kind}
    return Needed(list(kept.values()), {build.id for build in releases.unfinished(app)}, kept.keys())


def _kept(platform: Platform, app: App) -> list[Release]:
    ours = Release.select().where(Release.app == app)
    lived, most = ours.where(Release.status == "live"), platform.config.keep_releases
    recent = lived.order_by(Release.number.desc()).limit(most)
    running = {instance.release for instance in platform.runtime.running(app.name)} | {app.release}
    stays = (Release.status == "pending") | (Release.number << list(running)) | Release.pinned
    return [*recent, *_last_made(lived, most), *ours.where(stays)]


def _last_made(lived: ModelSelect[Release], most: int) -> list[Release]:
    """The newest release of each of the last artifacts: many changes of config vars in a row share one, and must not
    push out what was built before them."""
    newest = fn.MAX(Release.number)
    last = lived.select(newest.alias("number")).group_by(Release.artifact).order_by(newest.desc()).limit(most)
    return list(lived.where(Release.number << [row.number for row in last]))
