"""What the router should know besides the apps' own hosts: their custom domains. Derived, as all routes are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gitpaas import locks
from gitpaas.config import Config
from gitpaas.errors import RouterFailed
from gitpaas.platform import Platform
from gitpaas.store import App, Domain


class Mending:
    """Looks every second whether the router knows what it should, which costs nothing while nobody changes either."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._reading = platform.store.reading(partial(wanted, platform.config))
        self._alike: tuple[object, object] = None, None  # what is wanted and what there is, when they were the same

    def run_once(self) -> None:
        """RouterFailed when it cannot be mended."""
        right, known = self._reading.now(), self._platform.router.aliases()
        if self._alike[0] is right and self._alike[1] is known:
            return
        if right == known:
            self._alike = right, known
            return
        with locks.held(self._platform.config.aliases_lock, wait=False) as is_mine:
            if is_mine:  # else somebody is about to do it
                _align(self._platform)


def settle(platform: Platform) -> None:
    """Make the router know what is written. Of several processes at once the last has seen what all have written."""
    with locks.held(platform.config.aliases_lock):
        _align(platform)


def wanted(config: Config) -> Mapping[str, str]:
    """Each domain with the host of its app."""
    rows: Any = Domain.select(Domain.name, App.name).join(App).tuples()
    return {name: config.host(app) for name, app in rows if is_free(config, name, app)}


def is_free(config: Config, name: str, app: str) -> bool:
    """Whether a name can be this app's: the base domain, which may be another one than yesterday, takes some away."""
    return label_under_base(config, name) in (None, app) and name != config.host(app)


def label_under_base(config: Config, name: str) -> str | None:
    """The name of the app, there or not, to which a name under the base domain belongs: `x` of x.localhost, and of
    a.x.localhost. Of the wildcard beneath the base domain itself it is the star, as no app is called."""
    inside = name.removesuffix(f".{config.base_domain}")
    return None if inside == name else inside.rpartition(".")[2]


def _align(platform: Platform) -> None:
    """With the lock: read again, since it may be another's change that was just made. RouterFailed when all was done
    that can be."""
    known, right = platform.router.aliases(), wanted(platform.config)
    failures = []
    for name in sorted(known.keys() | right.keys()):
        if known.get(name) == right.get(name):
            continue
        try:
            platform.router.alias(name, right.get(name))
        except RouterFailed as error:
            failures.append(error)
    if failures:
        raise failures[0]
