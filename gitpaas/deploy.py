"""START HERE. What happens to an app, one step a line: a push, a rollback, a change of config, scale or state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gitpaas import apps, releases
from gitpaas.apps import configvars, formations, holding
from gitpaas.builds import phases, queue
from gitpaas.errors import BuildFailed, GitpaasError, UsageError
from gitpaas.git import repository
from gitpaas.instances import outcome, rollout
from gitpaas.names import process_name, settable_name, variable_name, variable_value
from gitpaas.output import Laps, Output
from gitpaas.platform import Platform
from gitpaas.releases import retention, reuse
from gitpaas.store import App, Build, Release
from gitpaas.values import Actor

_NAMED = 8  # config vars in a release's description


def deploy(platform: Platform, build: Build, out: Output) -> Release:
    """From a ticket in the queue to a live release. Any GitpaasError: nothing has changed, the old release serves."""
    from gitpaas.builds import building  # late: only the process of a push needs it, not the server

    laps = Laps()
    with queue.turn(platform, build, out) as app, retention.removed_unless_live(platform, app, build):
        queue.check_base(platform, build)
        with laps.time("build"):
            queue.advance(build, "building")
            release = reuse.known_release(platform, app, build, out) or building.new_release(platform, app, build, out)
        with releases.failed_unless_live(release):
            with laps.time("release"):
                queue.advance(build, "releasing")
                phases.prepare(platform, app, release, out)
            with laps.time("start"), rollout.change(platform, app, out) as app:
                queue.advance(build, "starting")
                releases.bring_up_to_date(platform, app, release)
                rollout.roll_out(platform, app, release, out)
        with laps.time("postdeploy"):
            queue.advance(build, "finishing")
            queue.note(build, phases.follow_up(platform, app, release, out))
        queue.publish(platform, build, release)
    out.headline(f"{app.name} v{release.number} deployed in {laps}")
    for line in outcome.outcome(platform, release):
        out.detail(line)
    retention.prune(platform, app)
    return release


def rollback(platform: Platform, app: App, number: int | None, actor: Actor, out: Output) -> Release:
    """A new release that copies an older one: its artifact and its config vars, without a build. NotKept when it takes
    one, as receive.rebuild() does it."""
    with rollout.change(platform, app, out) as app:
        older = releases.to_go_back_to(app, number)
        if older.status != "live":
            raise UsageError(f"v{older.number} never went live.", f"Choose another: ssh paas releases {app.name}")
        releases.require_kept(platform, older, f"Build it again: ssh paas rollback {app.name} v{older.number}")
        release = releases.bring_back(platform, app, older, actor)
        out.step(f"{release.description} ({older.commit[:7]})")
        go_live(platform, app, release, out)
        for line in outcome.waiting(platform, app, release):
            out.detail(line)
        return release


def set_config(
    platform: Platform,
    app: App,
    changes: Mapping[str, str | None],
    actor: Actor,
    out: Output,
    *,
    restart: bool = True,
    replace: bool = False,
) -> Release | None:
    """Set (a text) or unset (None) config vars; with `replace`, unset all others too. With a live release, that makes
    a new one and starts it. What was set stays set when that does not come up: it may be half of what is needed."""
    for name, value in changes.items():
        variable_name(name) if value is None else settable_name(name)
        variable_value(value or "")
    # The whole of it alone: two at once make two releases, each with its own change, and a rollback undoes neither.
    with rollout.change(platform, app, out) as app:
        with platform.store.transaction():
            configvars.change(platform, app, changes, replace=replace)
            if any(changes.values()):
                configvars.require_size(platform, app)
            live = releases.live(app)
            if live is None or not restart:
                return None
            release = releases.copy(platform, app, live, _change_in_words(changes, replace), actor)
        with _what_stays_said(live, release, out):
            return go_live(platform, app, release, out)


def scale(platform: Platform, app: App, quantities: Mapping[str, int], out: Output) -> None:
    """How many of each process type. New web instances answer before they get traffic; surplus ones drain. What was
    told to stop stays so."""
    for process in quantities:
        holding.copies(app, releases.formation(app), process_name(process))
    rollout.require_capacity(platform, quantities.get("web", 0))
    with platform.store.transaction():
        formations.scale(app, quantities)
        formation = releases.formation(app)
        holding.forget_beyond(app, formation)
    out.step(f"{app.name} scales to " + " ".join(f"{process}={count}" for process, count in formation.items()))
    _tell_standing(app, quantities, out)
    every = holding.copies(app, formation)
    rollout.settle(platform, app, out, {process: every[process] for process in quantities})


def restart(platform: Platform, app: App, out: Output, name: str | None = None) -> None:
    """Fresh instances of the live release (of one process type, or a single one); the old ones serve until the new
    answer."""
    with rollout.change(platform, app, out) as app:
        formation = releases.formation(app)
        holding.require_running(app, formation, name)
        about = holding.copies(app, formation, name) if name else None
        rollout.renew(platform, app, releases.require_live(app), out, about)


def stop(platform: Platform, app: App, out: Output, name: str | None = None) -> None:
    """No instance runs (of one process type, or not this single one) until start(). Without web the host says so."""
    with platform.store.transaction():
        changed = holding.hold(app, releases.formation(app), name)
    out.step(f"{_titled(app, name)} stops" if changed else f"{_titled(app, name)} is stopped already")
    rollout.settle(platform, app, out, {})


def start(platform: Platform, app: App, out: Output, name: str | None = None) -> None:
    """What was told to stop runs again: all of it, or what is named."""
    with platform.store.transaction():
        formation = releases.formation(app)
        changed = holding.let_go(app, formation, name)
    out.step(f"{_titled(app, name)} starts" if changed else f"{_titled(app, name)} is not stopped")
    rollout.settle(platform, app, out, holding.copies(app, formation, name))


def maintenance(platform: Platform, app: App, *, on: bool) -> None:
    """Our own page instead of the app, which keeps running beneath it."""
    App.update(maintenance=on).where(App.id == app.id).execute()
    platform.router.hold(platform.config.host(app.name), on)


def go_live(platform: Platform, app: App, release: Release, out: Output) -> Release:
    """Roll out a release that needs no build, and say so. Within rollout.change()."""
    laps = Laps()
    with releases.failed_unless_live(release), laps.time("start"), _last_words(out):
        rollout.roll_out(platform, app, release, out)
    out.headline(f"{app.name} v{release.number} live in {laps}")
    return release


def live_notice(platform: Platform, name: str) -> str | None:
    """What a push with nothing to push is told: what is live, and how to build it again or to go on."""
    app: App | None = App.get_or_none(App.name == name)
    release = releases.live(app) if app else None
    if app and (waiting := releases.waiting_commit(platform, app)):
        where = f"{app.deploy_branch} is at {waiting[:7]}, which was never live."
        return f"{where}\nTo deploy it: ssh paas ps:rebuild {name}"
    if app is None or release is None:
        return None
    where = f"{name} v{release.number} ({release.commit[:7]}) is live at {platform.config.url(name)}"
    tip = repository.read_ref(platform.config.repository(name), apps.deploy_refs(app)[0])
    pushed = releases.of_commit(app, tip) if tip and tip != release.commit else None
    if pushed is None:
        return f"{where}\nTo build it again: ssh paas ps:rebuild {name}"
    number = f"v{pushed.number}"
    return f"{where}\nWhat you have pushed was {number}. To have that live: ssh paas rollback {name} {number}"


def _change_in_words(changes: Mapping[str, str | None], replace: bool) -> str:
    """Names, never values: "Set A, B"; of many the first few."""
    names = sorted(changes)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    verb = "Unset" if all(value is None for value in changes.values()) else "Set"
    return f"{verb} {', '.join(names[:_NAMED])}{more}{', unset all others' if replace else ''}"


@contextmanager
def _what_stays_said(live: Release, release: Release, out: Output) -> Iterator[None]:
    try:
        yield
    except GitpaasError:
        out.warn(f"v{release.number} did not come up. v{live.number} stays live, with the config vars that it has.")
        out.warn("What you changed stays changed: the next release has it.")
        raise


@contextmanager
def _last_words(out: Output) -> Iterator[None]:
    """What the app itself wrote before it did not come up."""
    try:
        yield
    except BuildFailed as error:
        for line in error.tail:
            out.detail(line)
        raise


def _titled(app: App, name: str | None) -> str:
    return f"{name} of {app.name}" if name else str(app.name)


def _tell_standing(app: App, quantities: Mapping[str, int], out: Output) -> None:
    """Whoever scales what was told to stop learns why nothing of it starts."""
    now = apps.now(app)
    for process, quantity in quantities.items():
        still = [f"{process}.{number}" for number in range(1, quantity + 1) if holding.is_held(now, process, number)]
        if still:
            name = app.name if now.stopped else process if process in holding.names(now) else ", ".join(still)
            what = "" if now.stopped else f" {process}"
            out.warn(f"{name} was told to stop and stays so; to start: ssh paas ps:start {app.name}{what}")
