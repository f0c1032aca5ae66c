"""Releases: artifact + config vars + formation, numbered: making one, its release phase, keeping the last few."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

from gitpaas import apps, configvars, holding, options, resources
from gitpaas.errors import BuildFailed, CommandFailed, NotFound
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.store import App, Build, Formation, Release, Volume
from gitpaas.values import Artifact, HealthCheck, InstanceSpec, Mount, VolumeMount

RELEASE_PHASE = "release"  # the process type that runs once before the switch, and never as an instance


def create(platform: Platform, app: App, made: Artifact, description: str, by: str, build: Build) -> Release:
    """The next release of the app, pending, with today's config vars. Not live yet."""
    with platform.store.transaction():
        return Release.create(
            app=app,
            number=_next_number(app),
            build=build,
            commit=build.commit,
            description=description,
            artifact=json.dumps(asdict(made)),
            config=configvars.sealed(platform, app),
            by=by,
        )


def copy(platform: Platform, app: App, source: Release, description: str, by: str, *, with_config: bool) -> Release:
    """A new pending release with an older one's artifact, and its config vars too when `with_config`."""
    with platform.store.transaction():
        return Release.create(
            app=app,
            number=_next_number(app),
            build=source.build_id,
            commit=source.commit,
            description=description,
            artifact=source.artifact,
            config=configvars.sealed(platform, app, source if with_config else None),
            by=by,
        )


def bring_up_to_date(platform: Platform, app: App, release: Release) -> None:
    """What a build has made takes the config vars of the moment when it goes live: they may have changed meanwhile.

    Releases go live in the order of their numbers, so one that was overtaken is numbered anew."""
    with platform.store.transaction():
        if (app.release or 0) >= release.number:
            release.number = _next_number(app)
        release.config = configvars.sealed(platform, app)
        release.save(only=[Release.number, Release.config])


def run_release_phase(platform: Platform, app: App, release: Release, out: Output) -> None:
    """Run the Procfile's `release:` once, as the new release's instances will run. BuildFailed unless it exits 0."""
    if RELEASE_PHASE not in artifact(release).processes:
        return
    one_off = spec(platform, app, release, RELEASE_PHASE, 1)
    out.step(f"Release phase: {one_off.command}")
    tail: deque[str] = deque(maxlen=15)

    def show(line: str) -> None:
        tail.append(line)
        out.detail(line)

    try:
        code = platform.runtime.run(one_off, show, timeout=platform.config.release_timeout)
    except CommandFailed as error:
        raise BuildFailed(f"Release phase: {error.message}", step="release phase", tail=tuple(tail)) from error
    if code != 0:
        raise BuildFailed(f"Release phase exited with {code}", step="release phase", tail=tuple(tail))


def make_live(platform: Platform, app: App, release: Release) -> None:
    """The one moment the intent changes: from here on, reconcile works towards this release."""
    made = artifact(release)
    if artifacts := platform.artifacts.get(made.kind):
        artifacts.tag(app.name, release.number, made)
    with platform.store.transaction():
        App.update(release=release.number).where(App.id == app.id).execute()
        Release.update(status="live").where(Release.id == release.id).execute()
        for process, quantity in first_formation(artifact(release)).items():
            Formation.insert(app=app, process=process, quantity=quantity).on_conflict_ignore().execute()
    app.release, release.status = release.number, "live"


@contextmanager
def failed_unless_live(release: Release) -> Iterator[None]:
    """Whatever ends the body early marks the release as failed: it was never live."""
    try:
        yield
    except BaseException:
        fail(release)
        raise


def fail(release: Release) -> None:
    Release.update(status="failed").where(Release.id == release.id, Release.status == "pending").execute()


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


def find(app: App, number: int) -> Release:
    release = Release.get_or_none(Release.app == app, Release.number == number)
    if release is None:
        raise NotFound(f"{app.name} has no release v{number}.", f"List them: ssh paas releases {app.name}")
    return release


def before(app: App) -> Release:
    """The last good release before the live one: what a bare `rollback` means."""
    query = Release.select().where(Release.app == app, Release.status == "live", Release.number < (app.release or 0))
    release: Release | None = query.order_by(Release.number.desc()).first()
    if release is None:
        raise NotFound(f"{app.name} has no earlier release to go back to.")
    return release


def artifact(release: Release) -> Artifact:
    return _parsed(str(release.artifact))


@lru_cache(maxsize=256)
def _parsed(text: str) -> Artifact:
    fields = json.loads(text)
    fields["mounts"] = tuple(Mount(**mount) for mount in fields["mounts"])
    fields["health"] = HealthCheck(**fields["health"])
    return Artifact(**fields)


@dataclass(frozen=True)
class Intent:
    """What should be true of one app now."""

    app: App
    release: Release | None  # the live one
    wanted: Mapping[str, tuple[int, ...]]  # the numbers of each process type that should run
    has_builds: bool  # some wait or run, or died unnoticed


def intents() -> dict[str, Intent]:
    """Every app's intent by its name, in four queries however many apps there are."""
    live_now = Release.select().join(App).where(Release.number == App.release)
    by_app = {release.app_id: release for release in live_now}
    chosen: dict[int, dict[str, int]] = {}
    for row in Formation.select():
        chosen.setdefault(row.app_id, {})[row.process] = row.quantity
    building = {build.app_id for build in Build.select(Build.app).where(Build.finished_at.is_null())}
    return {app.name: _intent(app, by_app.get(app.id), chosen.get(app.id, {}), building) for app in App.select()}


def intent(app_name: str) -> Intent | None:
    """The same for one app, or None when it is gone."""
    app = App.get_or_none(App.name == app_name)
    if app is None:
        return None
    chosen = {row.process: row.quantity for row in Formation.select().where(Formation.app == app)}
    return _intent(app, live(app), chosen, {build.app_id for build in unfinished(app)})


def _intent(app: App, release: Release | None, chosen: Mapping[str, int], building: Collection[int]) -> Intent:
    wanted: Mapping[str, tuple[int, ...]] = {}
    if release is not None:
        first = first_formation(artifact(release))
        wanted = holding.wanted(app, {process: chosen.get(process, quantity) for process, quantity in first.items()})
    return Intent(app, release, wanted, app.id in building)


def is_kept(platform: Platform, release: Release) -> bool:
    """Whether the artifact is still there to run."""
    made = artifact(release)
    return made.kind in platform.artifacts and platform.artifacts[made.kind].is_kept(made)


def owner(platform: Platform, release: Release) -> int | None:
    """The user id that its instances run as, when that is ours to choose: an image brings its own."""
    return apps.uid(platform.config, release.app) if artifact(release).kind == "slug" else None


def formation(platform: Platform, app: App) -> dict[str, int]:
    """How many of each process type are wanted, for all types the live release has."""
    release = live(app)
    return formation_of(app, artifact(release)) if release else {}


def formation_of(app: App, made: Artifact) -> dict[str, int]:
    """The same for an artifact that may not be live yet. The release phase is no process type to scale."""
    chosen = {row.process: row.quantity for row in Formation.select().where(Formation.app == app)}
    return {process: chosen.get(process, quantity) for process, quantity in first_formation(made).items()}


def first_formation(made: Artifact) -> dict[str, int]:
    """Before anybody scaled: what app.json asks for, else one web and none of the others, as Heroku and Dokku do."""
    scalable = [process for process in made.processes if process != RELEASE_PHASE]
    return {process: made.formation.get(process, int(process == "web")) for process in scalable}


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
    )


def unfinished(app: App) -> list[Build]:
    """Builds that wait or run (or whose process was killed and nobody has noticed yet), in the order of pushes."""
    return list(Build.select().where(Build.app == app, Build.finished_at.is_null()).order_by(Build.id))


def _next_number(app: App) -> int:
    latest = Release.select().where(Release.app == app).order_by(Release.number.desc()).first()
    return latest.number + 1 if latest else 1
