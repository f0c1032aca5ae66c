"""Start instances of a release and wait until those that listen answer; when one does not, all of them go again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from gitpaas import health, releases
from gitpaas.apps import options
from gitpaas.errors import Unhealthy
from gitpaas.output import Output, seconds
from gitpaas.platform import Platform
from gitpaas.store import App, Release
from gitpaas.values import HealthCheck, Instance

_TAIL = 15  # lines of an app's own output that explain a failed start


def start(
    platform: Platform, app: App, release: Release, labels: Iterable[tuple[str, int]], out: Output
) -> list[Instance]:
    """An instance for each (process type, number), not yet waited for."""
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
def stopped_unless_healthy(
    platform: Platform, release: Release, fresh: Sequence[Instance], out: Output
) -> Iterator[list[Instance]]:
    """Yields them with the addresses that have answered."""
    try:
        yield await_healthy(platform, release, fresh, out)
    except BaseException:
        stop_all(platform, fresh)
        raise


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
            tell = partial(_tell_waiting, out, instance)
            result = health.wait_until_healthy(reach, check, all_live, host=host, began=began, owner=owner, tell=tell)
        except Unhealthy as error:
            raise _explained(platform, instance, listening, error) from error
        answering.append(replace(instance, address=result.address))
        asked = f"GET {check.path} -> {result.status}" if check.path else "port open"
        out.step(f"Health check: {asked} after {seconds(result.seconds)} on {instance.label}")
    return answering


def require_alive(platform: Platform, instances: Sequence[Instance]) -> None:
    """Unhealthy when one of these, which have answered, has ended since."""
    for instance in instances:
        if instance.state == "exited":
            message = f"{instance.label} exited with {instance.exit_code} after it had answered"
            raise Unhealthy(message, step="start", tail=platform.runtime.output(instance, _TAIL))


def health_check(platform: Platform, release: Release) -> HealthCheck:
    """What the tree's app.json asks for or people chose, within the operator's limit of time."""
    check = options.health_check(options.of_instances(release.app), releases.artifact(release).health)
    return replace(check, timeout=min(check.timeout, platform.config.start_timeout))


def stop_all(platform: Platform, instances: Sequence[Instance]) -> None:
    for instance in instances:
        platform.runtime.stop(instance, grace=min(2, platform.config.stop_grace))


def _tell_waiting(out: Output, instance: Instance, seen: str) -> None:
    out.step(f"Waiting for {instance.label}: {seen}")


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
        how = "ran out of memory" if instance.oom else f"exited with {instance.exit_code}"
        message = f"{instance.label} {how} before it answered"
    return Unhealthy(message, step="start", tail=platform.runtime.output(instance, _TAIL), hint=error.hint)
