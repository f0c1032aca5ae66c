"""What is kept on the disk for rollback, and what goes: slugs and layers by the releases that need them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitpaas import linux, locks, releases, shell
from gitpaas.platform import Platform
from gitpaas.store import App, Build, Release

_BUILDS = 100  # of each app that are remembered, with their logs


@contextmanager
def removed_unless_live(platform: Platform, app: App, build: Build) -> Iterator[None]:
    """What a failed build leaves on the disk goes at once: a full disk may be why it failed."""
    try:
        yield
    except BaseException:
        if releases.made_by(build) is None:
            shell.remove(platform.config.slug(app.name, build.id))
        raise


def end_orphan(tree: Path) -> None:
    """Kill what the steps of a build left running whose own process was killed: it still writes into `tree`."""
    linux.end_build(tree)


def prune(platform: Platform, app: App) -> None:
    """Remove the slugs and layers that no kept release needs: the last few live ones, what is built, what runs.

    Not while somebody changes what runs, perhaps back to what we are about to remove: then next time."""
    with locks.held(platform.config.rollout_lock(app.name), wait=False) as is_quiet:
        if is_quiet:
            _prune(platform, App.get_by_id(app.id))


def forget_builds(platform: Platform, app: App) -> None:
    """Rows and logs of the oldest builds go. Releases do without: they know commit and artifact themselves."""
    ended = Build.select(Build.id).where(Build.app == app, Build.finished_at.is_null(False))
    for build in ended.order_by(Build.id.desc()).offset(_BUILDS):
        platform.config.build_log(app.name, build.id).unlink(missing_ok=True)
        Build.delete().where(Build.id == build.id).execute()


def _prune(platform: Platform, app: App) -> None:
    there = list(platform.config.slugs(app.name).glob("*"))  # before we ask which are needed: some are made meanwhile
    kept = _kept(platform, app)
    slugs = {releases.artifact(release).reference for release in kept}
    slugs |= {str(platform.config.slug(app.name, build.id)) for build in releases.unfinished(app)}
    for slug in there:
        if str(slug) not in slugs:
            shell.remove(slug)
    from gitpaas.builders import layers  # late: the server loads no builders

    layers.prune(
        platform.config.cache(app.name), [m.source for release in kept for m in releases.artifact(release).mounts]
    )


def _kept(platform: Platform, app: App) -> list[Release]:
    ours = Release.select().where(Release.app == app)
    recent = ours.where(Release.status == "live").order_by(Release.number.desc()).limit(platform.config.keep_releases)
    running = {instance.release for instance in platform.runtime.running(app.name)} | {app.release}
    return [*recent, *ours.where((Release.status == "pending") | (Release.number << list(running)))]
