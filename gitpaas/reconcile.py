"""Make what runs match what is intended: at start-up, after each change, when an instance ends, and every second.

Everything here is safe to run twice and safe to be killed in. An app whose live lock is held is being changed by
somebody right now; it is left alone until the next round.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from gitpaas import health, locks, queue, releases, rollout
from gitpaas.plan import Missing, Plan, plan
from gitpaas.platform import Platform
from gitpaas.store import App, Release
from gitpaas.values import HealthCheck, Instance, Page

_log = logging.getLogger(__name__)

_DRAIN_AT_LEAST = 1.0  # seconds; a request that read the old route a moment ago still has to arrive
_PROBE = 0.5  # seconds one look at a starting instance may take

Tell = Callable[[str, str], None]  # (app, text): a line in the app's own log


class Reconciler:
    """Remembers only what no label can say: since when an instance is surplus, and which stops are under way."""

    def __init__(self, platform: Platform, tell: Tell) -> None:
        self._platform = platform
        self._tell = tell
        self._surplus_since: dict[str, float] = {}
        self._stopping: set[str] = set()

    def run_once(self) -> None:
        """One round over all apps. A fault in one app is logged and never keeps the others waiting."""
        with self._platform.store.session():
            by_app: dict[str, list[Instance]] = {}
            for instance in self._platform.runtime.running():
                by_app.setdefault(instance.app, []).append(instance)
            self._forget_gone({i.id for group in by_app.values() for i in group})
            routes = self._platform.router.routes()
            apps = {app.name: app for app in App.select()}
            for name in apps.keys() | by_app.keys():
                try:
                    self._reconcile(apps.get(name), name, by_app.get(name, []), routes)
                except Exception:
                    _log.exception("reconciling %s failed", name)
            self._forget_unknown_hosts(routes, {self._platform.config.host(name) for name in apps})

    def _reconcile(self, app: App | None, name: str, instances: Sequence[Instance], routes: dict) -> None:  # type: ignore[type-arg]
        if app is None:
            for instance in instances:
                self._stop(instance)
            return
        queue.bury_dead(self._platform, app)
        host = self._platform.config.host(name)
        release = releases.live(app)
        todo = self._plan(app, release, instances, routes.get(host))
        if self._is_settled(app, release, todo, routes.get(host)):
            return
        with locks.held(self._platform.config.live_lock(name), wait=False) as mine:
            if mine:
                self._act(name)

    def _act(self, name: str) -> None:
        """With the lock held, look again and mend."""
        app = App.get_or_none(App.name == name)
        if app is None:
            return
        host, release = self._platform.config.host(name), releases.live(app)
        route = self._platform.router.routes().get(host)
        todo = self._plan(app, release, self._platform.runtime.running(name), route)
        for instance in todo.retire:
            self._retire(instance)
        if release is not None:
            for missing in todo.missing:
                self._start_when_due(app, release, missing)
        self._route(app, release, host, self._plan(app, release, self._platform.runtime.running(name), route), route)
        self._platform.router.hold(host, app.maintenance)

    def _plan(self, app: App, release: Release | None, instances: Sequence[Instance], route: object) -> Plan:
        return plan(app.release, rollout.wanted(app, release), instances, _addresses(route))

    def _is_settled(self, app: App, release: Release | None, todo: Plan, route: object) -> bool:
        if todo.retire or any(missing.due <= time.time() for missing in todo.missing):
            return False
        serving = [i.address for i in todo.keep if i.address]
        if serving:
            return not isinstance(route, str) and set(serving) == set(_addresses(route))
        return route == _page(app, release, todo)

    def _start_when_due(self, app: App, release: Release, missing: Missing) -> None:
        if (
            missing.last is not None
            and missing.last.exited_at is not None
            and missing.last.id not in self._surplus_since
        ):
            self._surplus_since[missing.last.id] = time.monotonic()  # told once
            wait = max(0.0, missing.due - time.time())
            again = f"starting again in {wait:.0f} s" if wait >= 1 else "starting again"
            self._tell(app.name, f"{missing.last.label} exited with {missing.last.exit_code}; {again}")
        if missing.due > time.time():
            return
        if missing.last is not None:
            self._platform.runtime.stop(missing.last, grace=0)
        spec = releases.spec(self._platform, app, release, missing.process, missing.number, missing.restarts)
        self._platform.runtime.start(spec)

    def _route(self, app: App, release: Release | None, host: str, todo: Plan, route: object) -> None:
        """The addresses that answer; one of our pages when none does. A dead address leaves at once."""
        routed = _addresses(route)
        check = rollout.health_check(self._platform, release) if release else HealthCheck()
        serving = [i for i in todo.keep if i.address and (i.address in routed or self._answers(i, check))]
        for instance in todo.keep:
            if instance.address and instance not in serving and time.time() - instance.started_at > check.timeout:
                self._tell(app.name, f"{instance.label} did not answer within {check.timeout:.0f} s; stopping it")
                self._stop(instance)
        addresses = tuple(i.address for i in serving if i.address)
        if addresses:
            if set(addresses) != set(routed):
                self._platform.router.point(host, addresses)
            return
        page = _page(app, release, todo)
        if page != route:
            self._platform.router.show(host, page)

    def _answers(self, instance: Instance, check: HealthCheck) -> bool:
        return instance.address is not None and health.answers(instance.address, check, timeout=_PROBE)

    def _retire(self, instance: Instance) -> None:
        """Stop a surplus instance: one that served only when its last request has ended, or time is up."""
        since = self._surplus_since.setdefault(instance.id, time.monotonic())
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
        self._surplus_since = {key: since for key, since in self._surplus_since.items() if key in present}

    def _forget_unknown_hosts(self, routes: dict, known: set[str]) -> None:  # type: ignore[type-arg]
        for host in routes.keys() - known:
            # An app made a moment ago shows its page before this round could see its row.
            if not App.get_or_none(App.name == host.removesuffix(f".{self._platform.config.base_domain}")):
                self._platform.router.forget(host)


def _addresses(route: object) -> tuple[str, ...]:
    return route if isinstance(route, tuple) else ()


def _page(app: App, release: Release | None, todo: Plan) -> Page:
    """What a host without a serving instance says."""
    if release is None:
        return "empty"
    if not rollout.wanted(app, release).get("web"):
        return "stopped"
    crashed = any(m.process == "web" and m.last for m in todo.missing) or any(
        i.restarts and i.address for i in todo.keep
    )
    return "crashed" if crashed else "starting"
