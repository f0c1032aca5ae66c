"""Bring a release to life: start the new instances, wait until they answer, switch the route. What serves is untouched
until then; reconcile drains and stops it afterwards.

Two locks an app: change() is held for the whole of it, so that nobody else changes what runs meanwhile; the live
lock only for the switch itself, so that reconcile can go on mending what serves until then."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gitpaas import apps, locks, releases
from gitpaas.apps import formations, holding
from gitpaas.apps.holding import Copies
from gitpaas.config import Config
from gitpaas.errors import RouterFailed, RuntimeFailed, UsageError
from gitpaas.instances import leaving, rolling, starting
from gitpaas.instances.plan import plan
from gitpaas.instances.rolling import Change
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.releases import history
from gitpaas.store import App, Release
from gitpaas.values import Instance


@contextmanager
def change(platform: Platform, app: App, out: Output) -> Iterator[App]:
    """One change of what runs at a time. Yields the app as it is now; NotFound when it was destroyed meanwhile."""
    lock = platform.config.rollout_lock(app.name)
    if locks.is_held(lock):
        out.step(f"Waiting for another change of {app.name} to end")
    with locks.held(lock):
        now = apps.now(app)
        releases.fail_abandoned(now)
        leaving.clear(platform.config, app.name)
        yield now


def roll_out(platform: Platform, app: App, release: Release, out: Output) -> None:
    """Make `release` the live one. Unhealthy, with what ran before running again, when web does not come up."""
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
    history.record(platform, app)


def renew(
    platform: Platform,
    app: App,
    release: Release,
    out: Output,
    about: Copies | None = None,
    keep: Callable[[], None] = lambda: None,
) -> None:
    """Fresh instances of the live release in place of the running ones: all, or those that this is `about`.

    What they were started with is kept (`keep`) once web answers: who fails before that has changed nothing."""
    before = {instance.id for instance in platform.runtime.running(app.name)}
    change = _change(platform, app, release, lambda instance: instance.id not in before, out, about)
    with (
        rolling.brought_up(platform, change, out) as fresh,
        locks.held(platform.config.live_lock(app.name)),
    ):
        keep()
        if "web" in change.wanted:
            rolling.point(platform, app, [*fresh, *rolling.staying(platform, change)])
    rolling.swap_others(platform, change, out)
    wake(platform.config)


def settle(platform: Platform, app: App, out: Output, about: Copies) -> None:
    """Make what runs match the formation at once: start what is missing of what this is about, route it, leave the
    surplus, and whatever is not of this concern, to reconcile."""
    with change(platform, app, out) as app:
        if release := releases.live(app):
            _fill(platform, app, release, out, about)
    wake(platform.config)


def require_capacity(platform: Platform, web: int) -> None:
    """UsageError when the router cannot balance so many web instances."""
    most = platform.router.capacity
    if web > most:
        raise UsageError(f"At most {most} web instances of an app can be balanced here, not {web}.")


def wake(config: Config) -> None:
    """Tell a running server to reconcile now instead of at its next tick. No server is fine: it will at its start."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as poke:
        poke.setblocking(False)
        poke.sendto(b"1", str(config.run / "wake"))


def _wanted(app: App, release: Release) -> dict[str, tuple[int, ...]]:
    """By this release's own process types: it may not be live yet."""
    return holding.wanted(app, formations.of(app, releases.artifact(release)))


def _change(
    platform: Platform,
    app: App,
    release: Release,
    is_new: Callable[[Instance], bool],
    out: Output,
    about: Copies | None = None,
) -> Change:
    """Everything that the formation wants, or of that what it is `about`."""
    wanted = _wanted(app, release)
    require_capacity(platform, len(wanted.get("web", ())))
    if about is None:
        _tell_held(app, wanted, out)
        return Change(app, release, wanted, is_new)
    chosen = {process: [n for n in wanted.get(process, ()) if n in numbers] for process, numbers in about.items()}
    return Change(app, release, chosen, is_new)


def _tell_held(app: App, wanted: Copies, out: Output) -> None:
    names = [name for name in sorted(holding.names(app)) if name.partition(".")[0] in wanted]
    if app.stopped:
        out.step(f"{app.name} is stopped; start it: ssh paas ps:start {app.name}")
    elif names:
        verb = "stays" if len(names) == 1 else "stay"
        out.step(f"{', '.join(names)} {verb} stopped; to start: ssh paas ps:start {app.name} {names[0]}")


def _fill(platform: Platform, app: App, release: Release, out: Output, about: Copies) -> None:
    routed = platform.router.route(platform.config.host(app.name)) or ()
    addresses = set() if isinstance(routed, str) else set(routed)
    wanted = _wanted(app, release)
    todo = plan(release.number, wanted, platform.runtime.running(app.name), addresses)
    missing = [m for m in todo.missing if m.number in about.get(m.process, ())]
    serving = [i for i in todo.keep if i.address in addresses]
    # One that was about to be retired may be wanted again: it runs already, but has to answer like a new one.
    silent = [i for i in todo.keep if i.address and i not in serving]
    waiting = [i for i in silent if i.number in about.get(i.process, ())]
    fresh = starting.start(platform, app, release, [(m.process, m.number) for m in missing], out)
    with (
        starting.stopped_unless_healthy(platform, release, [*waiting, *fresh], out) as answering,
        locks.held(platform.config.live_lock(app.name)),
    ):
        if any(i.address for i in (*serving, *answering)) or not wanted.get("web"):
            rolling.point(platform, app, [*serving, *answering])
    for ended in filter(None, (m.last for m in missing)):
        platform.runtime.stop(ended, grace=0)
