"""Bring a release to life: start the new instances, wait until they answer, switch the route. The old ones are
untouched until then; reconcile drains and stops them afterwards."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from gitpaas import health, locks, releases
from gitpaas.config import Config
from gitpaas.errors import Unhealthy
from gitpaas.output import Output, seconds
from gitpaas.plan import plan
from gitpaas.platform import Platform
from gitpaas.store import App, Release
from gitpaas.values import HealthCheck, Instance

_TAIL = 15  # lines of an app's own output that explain a failed start


def roll_out(platform: Platform, app: App, release: Release, out: Output) -> None:
    """Make `release` the live one. Unhealthy, with nothing changed, when its web instances do not come up."""
    with locks.held(platform.config.live_lock(app.name)):
        releases.bring_up_to_date(platform, app, release)
        fresh = start_all(platform, app, release, out)
        try:
            await_healthy(platform, release, fresh, out)
        except BaseException:
            stop_all(platform, fresh)
            raise
        releases.make_live(platform, app, release)
        point(platform, app, fresh)
    wake(platform.config)


def renew(platform: Platform, app: App, release: Release, out: Output, process: str | None) -> None:
    """Fresh instances of the live release in place of the running ones (of one process type when given)."""
    with locks.held(platform.config.rollout_lock(app.name)):
        fresh = start_all(platform, app, release, out, only=process)
        with _stopped_unless_healthy(platform, release, fresh, out), locks.held(platform.config.live_lock(app.name)):
            if process in (None, "web"):
                point(platform, app, fresh)
    wake(platform.config)


def settle(platform: Platform, app: App, out: Output) -> None:
    """Make what runs match the formation at once: start what is missing, route it, leave the surplus to reconcile."""
    app = App.get_by_id(app.id)
    release = releases.live(app)
    if release is not None:
        with locks.held(platform.config.rollout_lock(app.name)):
            _fill(platform, app, release, out)
    wake(platform.config)


def start_all(platform: Platform, app: App, release: Release, out: Output, only: str | None = None) -> list[Instance]:
    """Every instance the formation wants (of one process type when `only`), started and not yet waited for."""
    if app.stopped:
        out.step(f"{app.name} is stopped; start it: ssh paas ps:start {app.name}")
    labels = [
        (process, number)
        for process, quantity in sorted(_wanted(app, release).items(), key=lambda item: item[0] != "web")
        for number in range(1, quantity + 1)
        if only in (None, process)
    ]
    return _start(platform, app, release, labels, out)


def await_healthy(platform: Platform, release: Release, fresh: Sequence[Instance], out: Output) -> None:
    """Wait for every instance that listens. Unhealthy carries the last lines the app itself wrote."""
    check, host = health_check(platform, release), platform.config.host(release.app.name)
    for instance in fresh:
        if instance.address is None:
            continue
        try:
            result = health.wait_until_healthy(instance.address, check, partial(_lives, platform, instance), host=host)
        except Unhealthy as error:
            raise _explained(platform, instance, error) from error
        asked = f"GET {check.path} -> {result.status}" if check.path else "port open"
        out.step(f"Health check: {asked} after {seconds(result.seconds)} on {instance.label}")


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


def stop_all(platform: Platform, instances: Sequence[Instance]) -> None:
    for instance in instances:
        platform.runtime.stop(instance, grace=min(2, platform.config.stop_grace))


def wake(config: Config) -> None:
    """Tell a running server to reconcile now instead of at its next tick. No server is fine: it will at its start."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as poke:
        poke.setblocking(False)
        poke.sendto(b"1", str(config.run / "wake"))


def last_lines(path: Path | None, count: int = _TAIL) -> tuple[str, ...]:
    """The end of an instance's own output."""
    if path is None or not path.exists():
        return ()
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        lines = file.read().decode("utf-8", "replace").replace("\0", "").splitlines()
    return tuple(lines[-count:])


def find(platform: Platform, instance: Instance) -> Instance | None:
    """The same instance as the runtime sees it now."""
    return next((i for i in platform.runtime.running(instance.app) if i.id == instance.id), None)


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
) -> Iterator[None]:
    try:
        await_healthy(platform, release, fresh, out)
        yield
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
        _stopped_unless_healthy(platform, release, [*waiting, *fresh], out),
        locks.held(platform.config.live_lock(app.name)),
    ):
        point(platform, app, [*todo.keep, *fresh])
    for ended in filter(None, (m.last for m in todo.missing)):
        platform.runtime.stop(ended, grace=0)


def _lives(platform: Platform, instance: Instance) -> bool:
    now = find(platform, instance)
    return now is not None and now.state == "running"


def _explained(platform: Platform, instance: Instance, error: Unhealthy) -> Unhealthy:
    time.sleep(0.1)  # its last words may still be on their way to the file
    now = find(platform, instance)
    message = error.message
    if now is not None and now.state == "exited":
        message = f"{instance.label} exited with {now.exit_code} before it answered"
    return Unhealthy(message, step="start", tail=last_lines(instance.log), hint=error.hint)
