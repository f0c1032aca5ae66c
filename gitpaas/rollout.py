"""Bring a release to life: start the new instances, wait until they answer, switch the route. What serves is untouched
until then; reconcile drains and stops it afterwards.

Two locks an app: change() is held for the whole of it, so that nobody else changes what runs meanwhile; the live
lock only for the switch itself, so that reconcile can go on mending what serves until then."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gitpaas import leaving, locks, releases, rolling, starting
from gitpaas.config import Config
from gitpaas.errors import NotFound, RouterFailed, RuntimeFailed, UsageError
from gitpaas.output import Output
from gitpaas.plan import plan
from gitpaas.platform import Platform
from gitpaas.rolling import Change
from gitpaas.store import App, Release
from gitpaas.values import Instance


@contextmanager
def change(platform: Platform, app: App) -> Iterator[App]:
    """One change of what runs at a time. Yields the app as it is now; NotFound when it was destroyed meanwhile."""
    with locks.held(platform.config.rollout_lock(app.name)):
        now = App.get_or_none(App.id == app.id)
        if now is None:
            raise NotFound(f"{app.name} was destroyed meanwhile.")
        releases.fail_abandoned(now)
        leaving.clear(platform.config, app.name)
        yield now


def roll_out(platform: Platform, app: App, release: Release, out: Output) -> None:
    """Make `release` the live one. Unhealthy, with what ran before running again, when web does not come up."""
    releases.bring_up_to_date(platform, app, release)
    change = _change(platform, app, release, lambda instance: instance.release == release.number, out)
    with rolling.brought_up(platform, change, out) as fresh:
        releases.make_live(platform, app, release)
    # From here on it is live: what is not done now, reconcile does.
    try:
        with locks.held(platform.config.live_lock(app.name)):
            rolling.point(platform, app, fresh)
        rolling.swap_others(platform, change, out)
    except (RouterFailed, RuntimeFailed) as error:
        out.warn(f"{error.message.rstrip('.')}. It is tried again every second.")
    wake(platform.config)


def renew(platform: Platform, app: App, release: Release, out: Output, process: str | None) -> None:
    """Fresh instances of the live release in place of the running ones (of one process type when given)."""
    before = {instance.id for instance in platform.runtime.running(app.name)}
    change = _change(platform, app, release, lambda instance: instance.id not in before, out, only=process)
    with (
        rolling.brought_up(platform, change, out) as fresh,
        locks.held(platform.config.live_lock(app.name)),
    ):
        if process in (None, "web"):
            rolling.point(platform, app, fresh)
    rolling.swap_others(platform, change, out)
    wake(platform.config)


def settle(platform: Platform, app: App, out: Output) -> None:
    """Make what runs match the formation at once: start what is missing, route it, leave the surplus to reconcile."""
    with change(platform, app) as app:
        if release := releases.live(app):
            _fill(platform, app, release, out)
    wake(platform.config)


def require_capacity(platform: Platform, web: int) -> None:
    """UsageError when the router cannot balance so many web instances."""
    most = platform.router.capacity
    if web > most:
        raise UsageError(f"At most {most} web instances of an app can be balanced here, not {web}.")


def outcome(platform: Platform, release: Release) -> str:
    """Where the app answers, or why it does not."""
    url = platform.config.url(release.app.name)
    if "web" in releases.artifact(release).processes:
        return url
    return f"It has no web process, so nothing answers at {url}"


def wake(config: Config) -> None:
    """Tell a running server to reconcile now instead of at its next tick. No server is fine: it will at its start."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as poke:
        poke.setblocking(False)
        poke.sendto(b"1", str(config.run / "wake"))


def _wanted(app: App, release: Release) -> dict[str, int]:
    """By this release's own process types: it may not be live yet."""
    return {} if app.stopped else releases.formation_of(app, releases.artifact(release))


def _change(
    platform: Platform,
    app: App,
    release: Release,
    is_new: Callable[[Instance], bool],
    out: Output,
    only: str | None = None,
) -> Change:
    """Everything that the formation wants, or of one process type when `only`."""
    if app.stopped:
        out.step(f"{app.name} is stopped; start it: ssh paas ps:start {app.name}")
    wanted = _wanted(app, release)
    require_capacity(platform, wanted.get("web", 0))
    chosen = {process: quantity for process, quantity in wanted.items() if only in (None, process)}
    return Change(app, release, chosen, is_new)


def _fill(platform: Platform, app: App, release: Release, out: Output) -> None:
    routed = platform.router.route(platform.config.host(app.name)) or ()
    addresses = set() if isinstance(routed, str) else set(routed)
    todo = plan(release.number, _wanted(app, release), platform.runtime.running(app.name), addresses)
    # One that was about to be retired may be wanted again: it runs already, but has to answer like a new one.
    waiting = [i for i in todo.keep if i.address and i.address not in addresses]
    fresh = starting.start(platform, app, release, [(m.process, m.number) for m in todo.missing], out)
    with (
        starting.stopped_unless_healthy(platform, release, [*waiting, *fresh], out) as answering,
        locks.held(platform.config.live_lock(app.name)),
    ):
        rolling.point(platform, app, [*(i for i in todo.keep if i not in waiting), *answering])
    for ended in filter(None, (m.last for m in todo.missing)):
        platform.runtime.stop(ended, grace=0)
