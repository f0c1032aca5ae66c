"""Bring a release to life: start the new instances, wait until they answer, switch the route. The old ones are
untouched until then; reconcile drains and stops them afterwards.

Two locks an app: change() is held for the whole of it, so that nobody else changes what runs meanwhile; the live
lock only for the switch itself, so that reconcile can go on mending what serves until then."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from gitpaas import health, locks, releases
from gitpaas.config import Config
from gitpaas.errors import NotFound, RouterFailed, Unhealthy, UsageError
from gitpaas.output import Output, seconds
from gitpaas.plan import plan
from gitpaas.platform import Platform
from gitpaas.store import App, Release
from gitpaas.values import HealthCheck, Instance

_TAIL = 15  # lines of an app's own output that explain a failed start


@contextmanager
def change(platform: Platform, app: App) -> Iterator[App]:
    """One change of what runs at a time. Yields the app as it is now; NotFound when it was destroyed meanwhile."""
    with locks.held(platform.config.rollout_lock(app.name)):
        now = App.get_or_none(App.id == app.id)
        if now is None:
            raise NotFound(f"{app.name} was destroyed meanwhile.")
        releases.fail_abandoned(now)
        yield now


def roll_out(platform: Platform, app: App, release: Release, out: Output) -> None:
    """Make `release` the live one. Unhealthy, with nothing changed, when its web instances do not come up."""
    releases.bring_up_to_date(platform, app, release)
    fresh = start_all(platform, app, release, out)
    with _stopped_unless_healthy(platform, release, fresh, out) as fresh:
        releases.make_live(platform, app, release)
    # From here on it is live: what is not done now, reconcile does.
    try:
        with locks.held(platform.config.live_lock(app.name)):
            point(platform, app, fresh)
    except RouterFailed as error:
        out.warn(f"{error.message} It is tried again every second.")
    wake(platform.config)


def renew(platform: Platform, app: App, release: Release, out: Output, process: str | None) -> None:
    """Fresh instances of the live release in place of the running ones (of one process type when given)."""
    fresh = start_all(platform, app, release, out, only=process)
    with (
        _stopped_unless_healthy(platform, release, fresh, out) as fresh,
        locks.held(platform.config.live_lock(app.name)),
    ):
        if process in (None, "web"):
            point(platform, app, fresh)
    wake(platform.config)


def settle(platform: Platform, app: App, out: Output) -> None:
    """Make what runs match the formation at once: start what is missing, route it, leave the surplus to reconcile."""
    with change(platform, app) as app:
        if release := releases.live(app):
            _fill(platform, app, release, out)
    wake(platform.config)


def start_all(platform: Platform, app: App, release: Release, out: Output, only: str | None = None) -> list[Instance]:
    """Every instance the formation wants (of one process type when `only`), started and not yet waited for."""
    if app.stopped:
        out.step(f"{app.name} is stopped; start it: ssh paas ps:start {app.name}")
    wanted = _wanted(app, release)
    require_capacity(platform, wanted.get("web", 0))
    labels = [
        (process, number)
        for process, quantity in sorted(wanted.items(), key=lambda item: item[0] != "web")
        for number in range(1, quantity + 1)
        if only in (None, process)
    ]
    return _start(platform, app, release, labels, out)


def require_capacity(platform: Platform, web: int) -> None:
    """UsageError when the router cannot balance so many web instances."""
    most = platform.router.capacity
    if web > most:
        raise UsageError(f"At most {most} web instances of an app can be balanced here, not {web}.")


def await_healthy(platform: Platform, release: Release, fresh: Sequence[Instance], out: Output) -> list[Instance]:
    """Wait for every instance that listens; all of them, with the addresses that answered. Unhealthy carries the last
    lines the app itself wrote.

    They start at the same time and so have the same time; one that ends is the end of the waiting for any."""
    check, host = health_check(platform, release), platform.config.host(release.app.name)
    owner = releases.owner(platform, release)
    listening, began = [instance for instance in fresh if instance.address], time.monotonic()
    all_live = partial(_all_live, platform, listening)
    answering = [instance for instance in fresh if not instance.address]
    for instance in listening:
        reach = partial(platform.runtime.reach, instance)
        try:
            result = health.wait_until_healthy(reach, check, all_live, host=host, began=began, owner=owner)
        except Unhealthy as error:
            raise _explained(platform, instance, listening, error) from error
        answering.append(replace(instance, address=result.address))
        asked = f"GET {check.path} -> {result.status}" if check.path else "port open"
        out.step(f"Health check: {asked} after {seconds(result.seconds)} on {instance.label}")
    return answering


def health_check(platform: Platform, release: Release) -> HealthCheck:
    """What the tree's app.json asks for, within the operator's limit of time."""
    check = releases.artifact(release).health
    return replace(check, timeout=min(check.timeout, platform.config.start_timeout))


def point(platform: Platform, app: App, instances: Sequence[Instance]) -> None:
    """The switch: from the next request on, the host's traffic goes to these instances."""
    addresses = [instance.address for instance in instances if instance.address]
    host = platform.config.host(app.name)
    if addresses:
        platform.router.point(host, addresses)
    else:
        platform.router.show(host, "stopped")


def outcome(platform: Platform, release: Release) -> str:
    """Where the app answers, or why it does not."""
    url = platform.config.url(release.app.name)
    if "web" in releases.artifact(release).processes:
        return url
    return f"It has no web process, so nothing answers at {url}"


def stop_all(platform: Platform, instances: Sequence[Instance]) -> None:
    for instance in instances:
        platform.runtime.stop(instance, grace=min(2, platform.config.stop_grace))


def wake(config: Config) -> None:
    """Tell a running server to reconcile now instead of at its next tick. No server is fine: it will at its start."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as poke:
        poke.setblocking(False)
        poke.sendto(b"1", str(config.run / "wake"))


def _wanted(app: App, release: Release) -> dict[str, int]:
    """By this release's own process types: it may not be live yet."""
    return {} if app.stopped else releases.formation_of(app, releases.artifact(release))


def _start(
    platform: Platform, app: App, release: Release, labels: Iterable[tuple[str, int]], out: Output
) -> list[Instance]:
    fresh: list[Instance] = []
    try:
        for process, number in labels:
            out.step(f"Starting {process}.{number}")
            fresh.append(platform.runtime.start(releases.spec(platform, app, release, process, number)))
    except BaseException:
        stop_all(platform, fresh)
        raise
    return fresh


@contextmanager
def _stopped_unless_healthy(
    platform: Platform, release: Release, fresh: Sequence[Instance], out: Output
) -> Iterator[list[Instance]]:
    """Yields them with the addresses that have answered."""
    try:
        yield await_healthy(platform, release, fresh, out)
    except BaseException:
        stop_all(platform, fresh)
        raise


def _fill(platform: Platform, app: App, release: Release, out: Output) -> None:
    routed = platform.router.routes().get(platform.config.host(app.name), ())
    addresses = set() if isinstance(routed, str) else set(routed)
    todo = plan(release.number, _wanted(app, release), platform.runtime.running(app.name), addresses)
    # One that was about to be retired may be wanted again: it runs already, but has to answer like a new one.
    waiting = [i for i in todo.keep if i.address and i.address not in addresses]
    fresh = _start(platform, app, release, [(m.process, m.number) for m in todo.missing], out)
    with (
        _stopped_unless_healthy(platform, release, [*waiting, *fresh], out) as answering,
        locks.held(platform.config.live_lock(app.name)),
    ):
        point(platform, app, [*(i for i in todo.keep if i not in waiting), *answering])
    for ended in filter(None, (m.last for m in todo.missing)):
        platform.runtime.stop(ended, grace=0)


def _all_live(platform: Platform, instances: Sequence[Instance]) -> bool:
    running = {i.id for i in platform.runtime.running(instances[0].app) if i.state == "running"}
    return running.issuperset(i.id for i in instances)


def _explained(platform: Platform, instance: Instance, others: Sequence[Instance], error: Unhealthy) -> Unhealthy:
    """In the words of the one that ended, if one did; else of the one that was asked."""
    time.sleep(0.1)  # its last words may still be on their way to the file
    ids, message = {i.id for i in others}, error.message
    ended = [i for i in platform.runtime.running(instance.app) if i.id in ids and i.state == "exited"]
    if ended:
        instance = ended[0]
        message = f"{instance.label} exited with {instance.exit_code} before it answered"
    return Unhealthy(message, step="start", tail=platform.runtime.output(instance, _TAIL), hint=error.hint)
