"""New instances in the place of old ones: all at once beside them, or a few at a time, as `max_surge` allows.

At no moment fewer web instances serve than are wanted (or than served before, if that was less), and at no moment do
more run than wanted (or than ran before) and the surge together. A batch that fails brings back what ran before. Who
is killed in the middle leaves to reconcile a mixture that it makes whole: all of the release that is live by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from gitpaas import locks, releases
from gitpaas.apps import formations, holding
from gitpaas.config import Config
from gitpaas.errors import GitpaasError
from gitpaas.instances import leaving, starting
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.store import App, Release
from gitpaas.values import Instance

_DRAIN_AT_LEAST = 1.0  # seconds; a request that read the old route a moment ago still has to arrive
_PAUSE = 0.1  # seconds between two looks at what drains


@dataclass(frozen=True)
class Change:
    """What shall run of an app, and how to tell it from what runs already."""

    app: App
    release: Release
    wanted: Mapping[str, Sequence[int]]  # the numbers of each process type that the change is about
    is_new: Callable[[Instance], bool]

    @property
    def web(self) -> Sequence[int]:
        return self.wanted.get("web", ())

    def others(self) -> list[tuple[str, int]]:
        """Every copy that is not web, by process type and number."""
        types = sorted(self.wanted.keys() - {"web"})
        return [(process, number) for process in types for number in self.wanted[process]]

    def is_gradual(self, config: Config) -> bool:
        """Whether there may not be two of everything for a while."""
        return any(len(numbers) > config.surge(len(numbers)) for numbers in self.wanted.values())


@contextmanager
def brought_up(platform: Platform, change: Change, out: Output, *, or_back: bool = True) -> Iterator[list[Instance]]:
    """Yields the new instances when all of them answer, the last batch of web not routed yet. Whatever fails until the
    body has ended stops them, and brings back (`or_back`) what earlier batches have replaced."""
    config, began = platform.config, False
    beside = [] if change.is_gradual(config) else change.others()
    if change.is_gradual(config):
        _retire(platform, change.app, _leftovers(platform, change))
    surge = config.surge(len(change.web))
    most = max(len(change.web), len(_web(platform, change.app))) + surge
    try:
        while not (batch := _next(platform, change, most)).is_last:
            going = _route_some(platform, change, batch, most - surge, out)
            began = True
            _retire(platform, change.app, going)
        started = starting.start(platform, change.app, change.release, [*batch.labels, *beside], out)
        with starting.stopped_unless_healthy(platform, change.release, [*batch.waiting, *started], out) as answering:
            yield [*batch.ready, *answering]
    except BaseException:
        if began and or_back:
            _bring_back(platform, change, out)
        raise


def swap_others(platform: Platform, change: Change, out: Output) -> None:
    """Replace what is not web, once all of web is new: a few at a time, each old one before its new one."""
    if not change.is_gradual(platform.config):
        return
    todo = change.others()
    while todo:
        size = platform.config.surge(len(change.wanted[todo[0][0]]))
        batch = [label for label in todo[:size] if label[0] == todo[0][0]]
        running = platform.runtime.running(change.app.name)
        old = [i for i in running if (i.process, i.number) in batch and i.one_off is None and not change.is_new(i)]
        with _taking_away(platform, change.app, old):
            pass
        _retire(platform, change.app, old)
        starting.start(platform, change.app, change.release, batch, out)
        todo = todo[len(batch) :]


def point(platform: Platform, app: App, instances: Sequence[Instance]) -> None:
    """The switch: from the next request on, the host's traffic goes to these instances."""
    addresses = [instance.address for instance in instances if instance.address]
    host = platform.config.host(app.name)
    if addresses:
        platform.router.point(host, addresses)
    else:
        platform.router.show(host, "stopped")


def staying(platform: Platform, change: Change) -> list[Instance]:
    """Web instances that serve and that the change is not about."""
    routed = _routed(platform, change.app)
    serving = [i for i in _web(platform, change.app) if i.state == "running" and i.address in routed]
    others = [i for i in serving if i.release == change.release.number and i.number not in change.web]
    return [i for i in others if not holding.is_held(change.app, i.process, i.number)]


def may_stop(platform: Platform, instance: Instance, age: float) -> bool:
    """Whether one that gets no new requests since `age` seconds has answered all it got, or time is up."""
    if instance.state != "running" or instance.address is None or age >= platform.config.drain_timeout:
        return True
    return age >= _DRAIN_AT_LEAST and platform.router.connections(instance.address) == 0


@dataclass(frozen=True)
class _Batch:
    """What to start next, beside what is there."""

    labels: list[tuple[str, int]]
    is_last: bool
    ready: list[Instance]  # new ones that serve
    waiting: list[Instance]  # new ones that run, but do not serve yet
    old: list[Instance]  # the first of them go first


def _next(platform: Platform, change: Change, most: int) -> _Batch:
    routed, gone = _routed(platform, change.app), leaving.marked(platform.config, change.app.name)
    seen = _web(platform, change.app) if change.web else []
    new = [instance for instance in seen if change.is_new(instance) and instance.id not in gone]
    old = [instance for instance in seen if instance not in new]
    if change.release.number != change.app.release:  # one of the live release is started again by reconcile
        starting.require_alive(platform, new)
    new = [instance for instance in new if instance.state == "running"]
    missing = [n for n in change.web if n not in {instance.number for instance in new}]
    size = max(1, most - len(seen))
    return _Batch(
        labels=[("web", number) for number in missing[:size]],
        is_last=size >= len(missing),
        ready=[instance for instance in new if instance.address in routed],
        waiting=[instance for instance in new if instance.address not in routed],
        old=sorted(old, key=lambda instance: (instance.address in routed, instance.number)),
    )


def _route_some(platform: Platform, change: Change, batch: _Batch, room: int, out: Output) -> list[Instance]:
    """Start a batch and route it once it answers. The old ones that get no requests from then on: as many as leave
    `room` of all."""
    app, routed = change.app, _routed(platform, change.app)
    started = starting.start(platform, app, change.release, batch.labels, out)
    surplus = len(batch.ready) + len(batch.waiting) + len(started) + len(batch.old) - room
    going, staying = batch.old[: max(0, surplus)], batch.old[max(0, surplus) :]
    serving = [instance for instance in staying if instance.state == "running" and instance.address in routed]
    with (
        starting.stopped_unless_healthy(platform, change.release, [*batch.waiting, *started], out) as answering,
        _taking_away(platform, app, going),
    ):
        point(platform, app, [*batch.ready, *answering, *serving])
    return going


@contextmanager
def _taking_away(platform: Platform, app: App, instances: Sequence[Instance]) -> Iterator[None]:
    """From the body on, reconcile takes these for gone."""
    with locks.held(platform.config.live_lock(app.name)):
        leaving.mark(platform.config, app.name, instances)
        try:
            yield
        except BaseException:
            leaving.clear(platform.config, app.name)
            raise


def _bring_back(platform: Platform, change: Change, out: Output) -> None:
    """All of the live release again, in batches too; what is not of it goes. What fails here is left to reconcile."""
    app = App.get_by_id(change.app.id)  # as it is kept: the change may have been to be of the app itself
    live = releases.live(app)
    if live is None:
        return
    wanted = {"web": holding.wanted(app, formations.of(app, releases.artifact(live))).get("web", ())}
    back = Change(app, live, wanted, lambda instance: instance.release == live.number)
    out.step(f"Bringing v{live.number} back")
    try:
        with (
            brought_up(platform, back, out, or_back=False) as whole,
            locks.held(platform.config.live_lock(app.name)),
        ):
            point(platform, change.app, whole)
        running = platform.runtime.running(change.app.name)
        ours = [i for i in running if i.release == change.release.number and i.one_off is None]
        _retire(platform, change.app, [] if change.release.number == live.number else ours)
    except GitpaasError as error:
        out.warn(f"v{live.number} is not whole yet: {error.message.rstrip('.')}. It is tried again every second.")


def _leftovers(platform: Platform, change: Change) -> list[Instance]:
    """What earlier roll-outs have left draining: it counts, too."""
    routed = _routed(platform, change.app)
    return [
        instance
        for instance in _web(platform, change.app)
        if instance.release != change.app.release and instance.address not in routed and not change.is_new(instance)
    ]


def _retire(platform: Platform, app: App, instances: Sequence[Instance]) -> None:
    """Let them finish what they were asked, then stop them, all at the same time."""
    if not instances:
        return
    began = time.monotonic()
    while not all(may_stop(platform, instance, time.monotonic() - began) for instance in instances):
        time.sleep(_PAUSE)
    with ThreadPoolExecutor(len(instances)) as together:
        list(together.map(lambda one: platform.runtime.stop(one, platform.config.stop_grace), instances))
    leaving.clear(platform.config, app.name)


def _web(platform: Platform, app: App) -> list[Instance]:
    running = platform.runtime.running(app.name)
    return [instance for instance in running if instance.process == "web" and instance.one_off is None]


def _routed(platform: Platform, app: App) -> tuple[str, ...]:
    route = platform.router.route(platform.config.host(app.name))
    return route if isinstance(route, tuple) else ()
