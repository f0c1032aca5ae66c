"""Make what runs match what is intended: at start-up, after each change, when an instance ends, and every second.

Everything here is safe to run twice and safe to be killed in. While somebody rolls out a change of an app (its rollout
lock is held), what serves is kept alive and routed, and nothing is retired: the new instances are not live yet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from gitpaas import health, locks, queue, releases, rollout
from gitpaas.plan import Missing, Plan, plan
from gitpaas.platform import Platform
from gitpaas.releases import Intent
from gitpaas.values import HealthCheck, Instance, Page

_log = logging.getLogger(__name__)

_DRAIN_AT_LEAST = 1.0  # seconds; a request that read the old route a moment ago still has to arrive
_PROBE = 0.5  # seconds one look at a starting instance may take

Route = tuple[str, ...] | Page | None
Tell = Callable[[str, str], None]  # (app, text): a line in the app's own log


class Reconciler:
    """Remembers only what no label can say: since when an instance is surplus, and which stops are under way."""

    def __init__(self, platform: Platform, tell: Tell) -> None:
        self._platform = platform
        self._tell = tell
        self._noticed: dict[str, float] = {}  # instance id -> when it was first seen surplus or ended
        self._stopping: set[str] = set()

    def run_once(self) -> None:
        """One round over all apps. A fault in one app is logged and never keeps the others waiting."""
        platform = self._platform
        with platform.store.session():
            instances: dict[str, list[Instance]] = {}
            for instance in platform.runtime.running():
                instances.setdefault(instance.app, []).append(instance)
            self._forget_gone({i.id for group in instances.values() for i in group})
            routes, intents = platform.router.routes(), releases.intents()
            for name in intents.keys() | instances.keys():
                route = routes.get(platform.config.host(name))
                try:
                    self._look_at(name, intents.get(name), instances.get(name, []), route)
                except Exception:
                    _log.exception("reconciling %s failed", name)
            self._forget_unknown_hosts(routes, intents)

    def _look_at(self, name: str, intent: Intent | None, instances: Sequence[Instance], route: Route) -> None:
        """Without the lock, since mostly there is nothing to do."""
        if intent is not None and intent.has_builds:
            queue.bury_dead(self._platform, intent.app)
        if intent is not None and _is_settled(intent, _plan(intent, instances, route), route):
            return
        config = self._platform.config
        with (
            locks.held(config.rollout_lock(name), wait=False) as is_quiet,
            locks.held(config.live_lock(name), wait=False) as is_mine,
        ):
            if is_mine:
                self._mend(name, is_quiet)

    def _mend(self, name: str, is_quiet: bool) -> None:
        """With the lock: look again, since it may all have changed, and act."""
        intent, host = releases.intent(name), self._platform.config.host(name)
        instances = self._platform.runtime.running(name)
        if intent is None:
            for instance in instances:
                self._stop(instance)
            return
        route: Route = self._platform.router.routes().get(host)
        todo = _plan(intent, instances, route)
        for instance in todo.retire if is_quiet else ():
            self._retire(instance)
        for missing in todo.missing:
            if is_quiet or missing.last is not None:
                self._start_when_due(intent, missing)
        self._route(intent, host, _plan(intent, self._platform.runtime.running(name), route), route)
        self._platform.router.hold(host, intent.app.maintenance)

    def _start_when_due(self, intent: Intent, missing: Missing) -> None:
        if missing.last is not None and missing.last.id not in self._noticed:
            self._noticed[missing.last.id] = time.monotonic()
            self._tell(intent.app.name, _obituary(missing, missing.last))
        if missing.due > time.time() or intent.release is None:
            return
        if missing.last is not None:
            self._platform.runtime.stop(missing.last, grace=0)
        spec = releases.spec(
            self._platform, intent.app, intent.release, missing.process, missing.number, missing.restarts
        )
        self._platform.runtime.start(spec)

    def _route(self, intent: Intent, host: str, todo: Plan, route: Route) -> None:
        """The addresses that answer; one of our pages when none does. A dead address leaves at once."""
        check = rollout.health_check(self._platform, intent.release) if intent.release else HealthCheck()
        listening = [i for i in todo.keep if i.address]
        serving = [i for i in listening if i.address in _addresses(route) or self._answers(host, i, check)]
        for instance in listening:
            if instance not in serving and time.time() - instance.started_at > check.timeout:
                self._tell(
                    intent.app.name, f"{instance.label} did not answer within {check.timeout:.0f} s; stopping it"
                )
                self._stop(instance)
        addresses = tuple(i.address for i in serving if i.address)
        if not addresses:
            self._platform.router.show(host, _page(intent, todo))
        elif set(addresses) != set(_addresses(route)):
            self._platform.router.point(host, addresses)

    def _answers(self, host: str, instance: Instance, check: HealthCheck) -> bool:
        return instance.address is not None and health.answers(instance.address, check, timeout=_PROBE, host=host)

    def _retire(self, instance: Instance) -> None:
        """Stop a surplus instance: one that served only when its last request has ended, or time is up."""
        since = self._noticed.setdefault(instance.id, time.monotonic())
        if instance.state == "running" and instance.address is not None:
            age = time.monotonic() - since
            busy = age < _DRAIN_AT_LEAST or self._platform.router.connections(instance.address) > 0
            if busy and age < self._platform.config.drain_timeout:
                return
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
        except Exception:
            _log.exception("stopping %s of %s failed", instance.label, instance.app)
        finally:
            self._stopping.discard(instance.id)

    def _forget_gone(self, present: set[str]) -> None:
        self._noticed = {key: since for key, since in self._noticed.items() if key in present}

    def _forget_unknown_hosts(self, routes: Mapping[str, Route], intents: Mapping[str, Intent]) -> None:
        known = {self._platform.config.host(name) for name in intents}
        for host in routes.keys() - known:
            # An app made a moment ago has a page already, though this round began before it had a row.
            if releases.intent(host.removesuffix(f".{self._platform.config.base_domain}")) is None:
                self._platform.router.forget(host)


def _plan(intent: Intent, instances: Sequence[Instance], route: Route) -> Plan:
    number = intent.release.number if intent.release else None
    return plan(number, intent.wanted, instances, _addresses(route))


def _is_settled(intent: Intent, todo: Plan, route: Route) -> bool:
    if todo.retire or any(missing.due <= time.time() for missing in todo.missing):
        return False
    serving = {i.address for i in todo.keep if i.address}
    if serving:
        return serving == set(_addresses(route))
    return route == _page(intent, todo)


def _addresses(route: Route) -> tuple[str, ...]:
    return route if isinstance(route, tuple) else ()


def _page(intent: Intent, todo: Plan) -> Page:
    """What a host without a serving instance says."""
    if intent.release is None:
        return "empty"
    if not intent.wanted.get("web"):
        return "stopped"
    crashed = any(m.process == "web" and m.last for m in todo.missing)
    return "crashed" if crashed or any(i.restarts and i.address for i in todo.keep) else "starting"


def _obituary(missing: Missing, last: Instance) -> str:
    wait = missing.due - time.time()
    how = (
        "ran out of memory" if last.oom else f"exited with {last.exit_code}" if last.exit_code is not None else "ended"
    )
    return f"{last.label} {how}; starting again" + (f" in {wait:.0f} s" if wait >= 1 else "")
