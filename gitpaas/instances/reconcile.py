"""Make what runs match what is intended: at start-up, after each change, when an instance ends, and every second.

Everything here is safe to run twice and safe to be killed in. While somebody rolls out a change of an app (its rollout
lock is held), what serves is kept alive and routed, and nothing is retired: the new instances are not live yet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from gitpaas import health, locks, releases
from gitpaas.apps import aliases
from gitpaas.builds import queue
from gitpaas.errors import RouterFailed, RuntimeFailed
from gitpaas.instances import leaving, rolling, sights, starting
from gitpaas.instances.news import News, Tell
from gitpaas.instances.plan import Missing, Plan
from gitpaas.instances.sights import Route, Sight
from gitpaas.oneoffs.settling import Settling
from gitpaas.platform import Platform
from gitpaas.releases import intents
from gitpaas.releases.intents import Intent, Intents
from gitpaas.store import App, Release
from gitpaas.values import HealthCheck, Instance, Reach, Survey

_log = logging.getLogger(__name__)

_REST = 1.0  # seconds between two rounds
_SOON = 0.2  # the same while somebody starts: until he answers, his requests get a page
_PROBE = 0.5  # seconds one look at a starting instance may take
_LONGEST_WAIT = 60.0  # seconds between two tries to start what the runtime refuses to

_Copy = tuple[str, str, int]  # app, process type, number


class Reconciler:
    """Remembers what no label can say: since when an instance is surplus, and which stops are under way. And how those
    apps looked that needed nothing, so that they are not thought through again as long as they look the same."""

    def __init__(self, platform: Platform, tell: Tell) -> None:
        self._platform = platform
        self._news = News(tell)
        self._noticed: dict[str, float] = {}  # instance id -> when it was first seen surplus or ended
        self._awaited: dict[str, float] = {}  # instance id -> when it was first seen not to answer
        self._refused: dict[_Copy, tuple[float, float]] = {}  # when it is tried again, and the seconds waited for that
        self._stopping: set[str] = set()
        self._intents = Intents(platform.store)
        self._one_offs = Settling(platform)
        self._aliases = aliases.Mending(platform)
        self._settled: dict[str, Sight] = {}  # of the round before, by app, where nothing was to be done

    @property
    def rest(self) -> float:
        """Seconds until the next round is due."""
        return _SOON if self._awaited else _REST

    def run_once(self) -> None:
        """One round over all apps. A fault in one app is logged and never keeps the others waiting."""
        platform = self._platform
        with platform.store.session():
            instances: dict[str, list[Instance]] = {}
            survey = platform.runtime.survey()
            self._news.engine(survey)
            if not survey.unseen:
                self._forget_gone(survey.instances)
            for instance in self._staying(survey.instances):
                instances.setdefault(instance.app, []).append(instance)
            routes, all_intents = platform.router.routes(), self._intents.now()
            settled: dict[str, Sight] = {}
            for name in all_intents.keys() | instances.keys():
                route = routes.get(platform.config.host(name))
                sight = Sight(all_intents.get(name), tuple(instances.get(name, ())), route)
                if self._settled.get(name) == sight or self._is_well(name, sight, survey):
                    settled[name] = sight
            self._settled = settled
            self._mend_aliases()  # before the hosts go that the base domain of yesterday gave them
            self._forget_unknown_hosts(routes, all_intents)
            self._settle_one_offs(survey)

    def _is_well(self, name: str, sight: Sight, survey: Survey) -> bool:
        """Look at one app, and mend it. True when it stays as it should be for as long as it looks like this."""
        intent, instances, route = sight
        try:
            if intent is not None and intent.has_builds:
                queue.bury_dead(self._platform, intent.app)
            if sights.is_unseen(intent, survey):
                return False
            lasts = self._look_at(name, intent, instances, route)
            if intent is not None:
                self._news.steady(name, intent.number, intent.wanted, instances)
            return lasts and not self._news.is_looping(name) and not (intent and intent.has_builds)
        except Exception:
            _log.exception("reconciling %s failed", name)
            return False

    def _look_at(self, name: str, intent: Intent | None, instances: Sequence[Instance], route: Route) -> bool:
        """Without the lock, since mostly there is nothing to do: True when only another look could find some."""
        if intent is not None:
            todo = sights.plan_of(intent, instances, route)
            for instance in todo.keep:  # if surplus once, then not any more: a later drain takes its time anew
                self._noticed.pop(instance.id, None)
            if self._is_settled(intent, todo, route):
                return not todo.missing  # which are due by the clock
        config = self._platform.config
        with (
            locks.held(config.rollout_lock(name), wait=False) as is_quiet,
            locks.held(config.live_lock(name), wait=False) as is_mine,
        ):
            if is_mine:
                self._mend(name, is_quiet)
        return False

    def _mend(self, name: str, is_quiet: bool) -> None:
        """With the lock: look again, since it may all have changed, and act."""
        intent, host = intents.of(name), self._platform.config.host(name)
        gone = self._leaving(name, is_quiet)  # before the survey: a roll-out that ends meanwhile takes its marks away
        survey = self._platform.runtime.survey(name)
        if sights.is_unseen(intent, survey):
            return
        instances = self._staying(survey.instances, gone)
        if intent is None:
            for instance in instances:
                self._stop(instance)
            return
        route: Route = self._platform.router.route(host)
        route = self._without_dead(host, instances, route)
        todo = sights.plan_of(intent, instances, route)
        for missing in todo.missing:
            if is_quiet or missing.last is not None:
                self._start_when_due(intent, missing)
        if todo.missing:  # and is there now, perhaps
            todo = sights.plan_of(intent, self._staying(self._platform.runtime.survey(name).instances, gone), route)
        route = self._route(intent, host, todo, route, is_quiet)
        self._platform.router.hold(host, intent.app.maintenance)
        for instance in todo.retire if is_quiet else ():
            if instance.address not in sights.addresses(route):
                self._retire(instance)

    def _settle_one_offs(self, survey: Survey) -> None:
        try:
            self._one_offs.settle(survey, self._stop)
        except RuntimeFailed as error:
            _log.warning("one-off commands: %s", error)

    def _mend_aliases(self) -> None:
        try:
            self._aliases.run_once()
        except RouterFailed as error:
            _log.warning("%s", error.message)

    def _staying(self, instances: Sequence[Instance], gone: Collection[str] = ()) -> list[Instance]:
        """Without those that are being stopped, by us or by somebody else (`gone`): they may answer for a while yet,
        but nothing may rely on them."""
        return [i for i in instances if i.id not in self._stopping and i.id not in gone]

    def _leaving(self, name: str, is_quiet: bool) -> Collection[str]:
        """What the roll-out under way takes away."""
        if not is_quiet:
            return leaving.marked(self._platform.config, name)
        leaving.clear(self._platform.config, name)  # of one that was killed
        return ()

    def _without_dead(self, host: str, instances: Sequence[Instance], route: Route) -> Route:
        """Requests go to nobody who has ended, even before another is started in its place: that takes a while."""
        alive = {instance.address for instance in instances if instance.state == "running"}
        addresses = tuple(address for address in sights.addresses(route) if address in alive)
        if addresses and addresses != route:
            self._platform.router.point(host, addresses)
        return addresses or route

    def _is_settled(self, intent: Intent, todo: Plan, route: Route) -> bool:
        name = intent.app.name
        if todo.retire or any(self._is_due(name, missing) or self._is_news(missing) for missing in todo.missing):
            return False
        serving = {i.address for i in todo.keep if i.address}
        if serving:
            return serving == set(sights.addresses(route))
        return route == sights.page(intent, todo)

    def _is_news(self, missing: Missing) -> bool:
        return missing.last is not None and missing.last.id not in self._noticed

    def _is_due(self, app: str, missing: Missing) -> bool:
        """By the clock, or by the time since we have seen it ended: the clock may have been set back."""
        if time.monotonic() < self._refused.get((app, missing.process, missing.number), (0.0, 0.0))[0]:
            return False
        noticed = self._noticed.get(missing.last.id) if missing.last else None
        return missing.due <= time.time() or (noticed is not None and time.monotonic() - noticed >= missing.wait)

    def _start_when_due(self, intent: Intent, missing: Missing) -> None:
        name = intent.app.name
        if missing.last is not None and self._is_news(missing):
            self._noticed[missing.last.id] = time.monotonic()
            self._news.ended(name, missing, missing.last)
        if not self._is_due(name, missing) or intent.release is None:
            return
        try:
            self._start(intent.app, intent.release, missing)
        except RuntimeFailed as error:  # no reason to leave the rest of the app unrouted
            _log.warning("%s.%s of %s: %s", missing.process, missing.number, name, error)
            self._put_off(name, missing)
            self._news.refused(name, missing, error.message)

    def _start(self, app: App, release: Release, missing: Missing) -> None:
        if missing.last is not None:
            self._platform.runtime.stop(missing.last, grace=0)
        spec = releases.spec(self._platform, app, release, missing.process, missing.number, missing.restarts)
        spec = replace(spec, last_exit=missing.last_exit)
        self._platform.runtime.start(spec)
        self._refused.pop((app.name, missing.process, missing.number), None)
        self._news.started(app.name, missing)

    def _put_off(self, app: str, missing: Missing) -> None:
        """Each refusal in a row waits longer for the next try."""
        key = app, missing.process, missing.number
        wait = min(_LONGEST_WAIT, 2 * self._refused.get(key, (0.0, 0.5))[1])
        self._refused[key] = time.monotonic() + wait, wait

    def _route(self, intent: Intent, host: str, todo: Plan, route: Route, is_quiet: bool) -> Route:
        """The addresses that answer; until one does, those of the release before if they still serve; else a page.

        A dead address leaves at once. What a roll-out under way has routed stays: it knows what it does."""
        serving = [i for i in todo.keep if i.address in sights.addresses(route)]
        waiting = [i for i in todo.keep if i.address and i not in serving]
        fresh = self._answering(intent, waiting) if waiting else []
        former = sights.former(intent, todo, route)
        routed = [*serving, *fresh, *(former if not is_quiet else ())] or former
        addresses = tuple(i.address for i in routed if i.address)[: self._platform.router.capacity]
        if not addresses:
            self._platform.router.show(host, sights.page(intent, todo))
        elif set(addresses) != set(sights.addresses(route)):
            self._platform.router.point(host, addresses)
            for instance in fresh if is_quiet else ():
                self._news.serves(intent.app.name, instance)
        return addresses or None

    def _answering(self, intent: Intent, waiting: Sequence[Instance]) -> list[Instance]:
        """Those that answer now, with the address where they do. One that has been silent for too long is stopped."""
        check = starting.health_check(self._platform, intent.release) if intent.release else HealthCheck()
        found = []
        for instance in waiting:
            reach = self._platform.runtime.reach(instance)
            if self._answers(intent, reach, check):
                self._awaited.pop(instance.id, None)
                found.append(replace(instance, address=reach.address))
            elif self._silent_for(instance) > check.timeout:
                self._news.silent(intent.app.name, instance, check.timeout)
                self._stop(instance)
        return found

    def _answers(self, intent: Intent, reach: Reach, check: HealthCheck) -> bool:
        owner = releases.owner(self._platform, intent.release) if intent.release else None
        host = self._platform.config.host(intent.app.name)
        return health.answers(reach, check, timeout=_PROBE, host=host, owner=owner)

    def _silent_for(self, instance: Instance) -> float:
        """Seconds since it was first seen not to answer. Not by its start: clocks are set."""
        return time.monotonic() - self._awaited.setdefault(instance.id, time.monotonic())

    def _retire(self, instance: Instance) -> None:
        """Stop a surplus instance: one that served only when its last request has ended, or time is up."""
        since = self._noticed.setdefault(instance.id, time.monotonic())
        if rolling.may_stop(self._platform, instance, time.monotonic() - since):
            self._stop(instance)

    def _stop(self, instance: Instance) -> None:
        """In a thread of its own: one app's slow goodbye holds up nobody."""
        if instance.id in self._stopping:
            return
        self._stopping.add(instance.id)
        threading.Thread(target=self._stop_now, args=(instance,), name=f"stop-{instance.id}", daemon=True).start()

    def _stop_now(self, instance: Instance) -> None:
        try:
            self._platform.runtime.stop(instance, grace=self._platform.config.stop_grace)
        except RuntimeFailed as error:  # seen again, it is tried again
            _log.warning("stopping %s of %s: %s", instance.label, instance.app, error)
        except Exception:
            _log.exception("stopping %s of %s failed", instance.label, instance.app)
        finally:
            self._stopping.discard(instance.id)

    def _forget_gone(self, instances: Sequence[Instance]) -> None:
        present = {instance.id for instance in instances}
        running = {instance.id for instance in instances if instance.state == "running"}
        self._noticed = {key: since for key, since in self._noticed.items() if key in present}
        self._awaited = {key: since for key, since in self._awaited.items() if key in running}

    def _forget_unknown_hosts(self, routes: Mapping[str, Route], known_apps: Iterable[str]) -> None:
        known = {self._platform.config.host(name) for name in known_apps}
        for host in routes.keys() - known:
            # An app made a moment ago has a page already, though this round began before it had a row.
            if intents.of(host.removesuffix(f".{self._platform.config.base_domain}")) is None:
                self._platform.router.forget(host)
