"""Releases: artifact + config vars + formation, numbered: making one, making it live, what it runs with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache

from gitpaas import apps
from gitpaas.apps import configvars, formations, options, resources, schedules
from gitpaas.errors import NotFound, NotKept
from gitpaas.git import repository
from gitpaas.platform import Platform
from gitpaas.store import App, Build, Release, Volume
from gitpaas.values import Actor, Artifact, CronEntry, HealthCheck, InstanceSpec, Mount, VolumeMount


def create(platform: Platform, app: App, made: Artifact, build: Build) -> Release:
    """The next release of the app, pending, with the config vars that it was built with. Not live yet."""
    older = find(app, build.restores) if build.restores else None
    with platform.store.transaction():
        return Release.create(
            app=app,
            number=_next_number(app),
            build=build,
            commit=build.commit,
            subject=build.subject,
            inputs=build.inputs,
            description=_rollback_to(older) if older else f"Deploy {build.commit[:7]}",
            artifact=json.dumps(asdict(made)),
            config=configvars.sealed(platform, app, older),
            restores=build.restores,
            by=build.by,
            key=build.key,
        )


def copy(platform: Platform, app: App, source: Release, description: str, actor: Actor) -> Release:
    """A new pending release: what is live, with today's config vars."""
    return _copy(platform, app, source, description, actor)


def bring_back(platform: Platform, app: App, older: Release, actor: Actor) -> Release:
    """A new pending release that is what an older one was: its artifact and its config vars."""
    return _copy(platform, app, older, _rollback_to(older), actor, older)


def bring_up_to_date(platform: Platform, app: App, release: Release) -> None:
    """What a build has made takes the config vars of the moment when it goes live: they may have changed meanwhile.

    Releases go live in the order of their numbers, so one that was overtaken is numbered anew. A rollback keeps the
    config vars that it brings back."""
    with platform.store.transaction():
        if (app.release or 0) >= release.number:
            release.number = _next_number(app)
        # Its own too are sealed again: the row in hand may be of before a change of keys.
        release.config = configvars.sealed(platform, app, None if release.restores is None else release)
        release.save(only=[Release.number, Release.config])


def make_live(platform: Platform, app: App, release: Release) -> None:
    """The one moment the intent changes: from here on, reconcile works towards this release."""
    made = artifact(release)
    if artifacts := platform.artifacts.get(made.kind):
        artifacts.tag(app.name, release.number, made)
    before = live(app)
    with platform.store.transaction():
        schedules.take_up(app, artifact(before).cron if before else (), made.cron)
        App.update(release=release.number).where(App.id == app.id).execute()
        formations.keep_first(app, made)
        if release.restores is not None:
            configvars.restore(platform, app, release, before)
        release.status, release.live_at = "live", time.time()
        release.formation = json.dumps(formations.of(app, made))
        release.save(only=[Release.status, Release.live_at, Release.formation])
    app.release = release.number


@contextmanager
def failed_unless_live(release: Release) -> Iterator[None]:
    """Whatever ends the body early marks the release as failed: it was never live."""
    try:
        yield
    except BaseException:
        Release.update(status="failed").where(Release.id == release.id, Release.status == "pending").execute()
        raise


def fail_abandoned(app: App) -> None:
    """Fail what is pending without a build under way. Only for who holds the rollout lock: its makers were killed."""
    under_way = Build.select(Build.id).where(Build.app == app, Build.finished_at.is_null())
    forgotten = Release.build.is_null() | Release.build.not_in(under_way)
    Release.update(status="failed").where(Release.app == app, Release.status == "pending", forgotten).execute()


def made_by(build: Build) -> Release | None:
    """The release that this build has brought live, or None."""
    live_ones = Release.select().where(Release.build == build, Release.status == "live")
    release: Release | None = live_ones.order_by(Release.number).first()  # later ones are copies of it
    return release


def live(app: App) -> Release | None:
    """The release that serves, or None before the first."""
    return Release.get_or_none(Release.app == app, Release.number == app.release) if app.release else None


def require_live(app: App) -> Release:
    """The same for who cannot do without. NotFound before the first."""
    release = live(app)
    if release is None:
        raise none_yet(app)
    return release


def none_yet(app: App) -> NotFound:
    return NotFound(f"{app.name} has no release yet.", f"Push one: git push paas:{app.name} main")


def find(app: App, number: int) -> Release:
    release = Release.get_or_none(Release.app == app, Release.number == number)
    if release is None:
        raise NotFound(f"{app.name} has no release v{number}.", f"List them: ssh paas releases {app.name}")
    return release


def waiting_commit(platform: Platform, app: App) -> str | None:
    """What the deploy branch has, when it was never live: it was stored before that became the deploy branch."""
    if app.deploy_branch is None:
        return None
    tip = repository.read_ref(platform.config.repository(app.name), f"refs/heads/{app.deploy_branch}^{{commit}}")
    return tip if tip and of_commit(app, tip) is None else None


def of_commit(app: App, commit: str) -> Release | None:
    """The latest that was live of that commit."""
    query = Release.select().where(Release.app == app, Release.status == "live", Release.commit == commit)
    release: Release | None = query.order_by(Release.number.desc()).first()
    return release


def before(app: App, number: int) -> Release | None:
    """The last one that was live before the release of this number; None when nothing was."""
    query = Release.select().where(Release.app == app, Release.status == "live", Release.number < number)
    release: Release | None = query.order_by(Release.number.desc()).first()
    return release


def to_go_back_to(app: App, number: int | None) -> Release:
    """The one that a rollback names, or that a bare one means: the last good one before the live one."""
    if number is not None:
        return find(app, number)
    older = before(app, app.release or 0)
    if older is None:
        raise NotFound(f"{app.name} has no earlier release to go back to.", f"List them: ssh paas releases {app.name}")
    return older


def artifact(release: Release) -> Artifact:
    return parsed(str(release.artifact))


@lru_cache(maxsize=64)  # a deploy asks many times; who asks for those of all apps remembers himself what he needs
def parsed(text: str) -> Artifact:
    """An artifact as it is kept in its release."""
    fields = json.loads(text)
    fields["mounts"] = tuple(Mount(**mount) for mount in fields["mounts"])
    fields["health"] = HealthCheck(**fields["health"])
    fields["cron"] = tuple(CronEntry(**entry) for entry in fields.get("cron", ()))
    return Artifact(**fields)


def is_kept(platform: Platform, release: Release) -> bool:
    """Whether the artifact is still there to run."""
    made = artifact(release)
    return made.kind in platform.artifacts and platform.artifacts[made.kind].is_kept(made)


def require_kept(platform: Platform, release: Release, hint: str) -> None:
    """NotKept, with the hint, when it is not."""
    if not is_kept(platform, release):
        kind = artifact(release).kind
        raise NotKept(f"The {kind} of v{release.number} is no longer kept here.", hint, release=release.number)


def owner(platform: Platform, release: Release) -> int | None:
    """The user id that its instances run as, when that is ours to choose: an image brings its own."""
    return apps.uid(platform.config, release.app) if artifact(release).kind == "slug" else None


def formation(app: App) -> dict[str, int]:
    """How many of each process type are wanted, for all types the live release has."""
    release = live(app)
    return formations.of(app, artifact(release)) if release else {}


def spec(platform: Platform, app: App, release: Release, process: str, number: int, restarts: int = 0) -> InstanceSpec:
    """One copy of a process type of this release, ready to start."""
    command = artifact(release).processes[process]
    made = one_off_spec(platform, app, release, process, number, command)
    return replace(made, listens=process == "web", restarts=restarts)


def one_off_spec(
    platform: Platform, app: App, release: Release, process: str, number: int, command: str
) -> InstanceSpec:
    """The same for any command: it does not listen."""
    made = artifact(release)
    return InstanceSpec(
        app=app.name,
        release=release.number,
        process=process,
        number=number,
        command=command,
        artifact=made,
        env=configvars.of_release(platform, release),
        uid=owner(platform, release),
        limits=resources.limits(platform.config, app, process),
        listens=False,
        volumes=tuple(VolumeMount(row.name, row.target) for row in Volume.select().where(Volume.app == app)),
        options=options.of_instances(app),
        commit=release.commit,
        url=platform.config.url(app.name),
    )


def unfinished(app: App) -> list[Build]:
    """Builds that wait or run (or whose process was killed and nobody has noticed yet), in the order of pushes."""
    return list(Build.select().where(Build.app == app, Build.finished_at.is_null()).order_by(Build.id))


def _copy(
    platform: Platform, app: App, source: Release, description: str, actor: Actor, restores: Release | None = None
) -> Release:
    with platform.store.transaction():
        return Release.create(
            app=app,
            number=_next_number(app),
            build=source.build_id,
            commit=source.commit,
            subject=source.subject,
            inputs=source.inputs,
            description=description,
            artifact=source.artifact,
            config=configvars.sealed(platform, app, restores),
            restores=restores.number if restores else None,
            by=actor.name,
            key=actor.key,
        )


def _rollback_to(older: Release) -> str:
    return f"Rollback to v{older.number}"


def _next_number(app: App) -> int:
    latest = Release.select().where(Release.app == app).order_by(Release.number.desc()).first()
    return latest.number + 1 if latest else 1
