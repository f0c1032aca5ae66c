"""What is kept on the disk for rollback, and what goes: slugs and layers by the releases that need them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitpaas import linux, releases
from gitpaas.platform import Platform
from gitpaas.store import App, Build, Release


@contextmanager
def removed_unless_live(platform: Platform, app: App, build: Build) -> Iterator[None]:
    """What a failed build leaves on the disk goes at once: a full disk may be why it failed."""
    try:
        yield
    except BaseException:
        shutil.rmtree(platform.config.slug(app.name, build.id), ignore_errors=True)
        raise


def end_orphan(tree: Path) -> None:
    """Kill what the steps of a build left running whose own process was killed: it still writes into `tree`."""
    group = linux.build_cgroup(tree)
    if group is not None:
        group.kill()
        group.remove()


def prune(platform: Platform, app: App) -> None:
    """Remove the slugs and layers that no kept release needs: the last few live ones, what is built, what runs."""
    kept = _kept(platform, app)
    slugs = {releases.artifact(release).reference for release in kept}
    slugs |= {str(platform.config.slug(app.name, build.id)) for build in releases.unfinished(app)}
    for slug in platform.config.slugs(app.name).glob("*"):
        if str(slug) not in slugs:
            shutil.rmtree(slug, ignore_errors=True)
    from gitpaas.builders import layers  # late: the server loads no builders

    layers.prune(
        platform.config.cache(app.name), [m.source for release in kept for m in releases.artifact(release).mounts]
    )


def _kept(platform: Platform, app: App) -> list[Release]:
    ours = Release.select().where(Release.app == app)
    recent = ours.where(Release.status == "live").order_by(Release.number.desc()).limit(platform.config.keep_releases)
    running = {instance.release for instance in platform.runtime.running(app.name)} | {app.release}
    return [*recent, *ours.where((Release.status == "pending") | (Release.number << list(running)))]
