"""The object graph: everything the flow needs, built once per process and passed as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gitpaas import store
from gitpaas.config import Config
from gitpaas.router import Router
from gitpaas.runtimes import Runtime
from gitpaas.store import Store

if TYPE_CHECKING:
    from gitpaas.builders import Builder


@dataclass(frozen=True)
class Platform:
    config: Config
    store: Store
    runtime: Runtime
    router: Router

    @cached_property
    def builders(self) -> tuple[Builder, ...]:
        """Made when first asked for: only the process that builds needs them, not the server."""
        from gitpaas.builders import BUILDERS

        return tuple(make(self.config) for make in BUILDERS)


def prepare(config: Config) -> None:
    """Make the state directory (0700) when it is not there yet. Safe to run twice."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    config.home.chmod(0o700)
    for directory in (config.repos, config.routes, config.locks, config.run, config.caddy, config.toolchain):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)


def build_platform(config: Config) -> Platform:
    """Open the state directory and choose builders, runtime and router."""
    from gitpaas.router.caddy import CaddyRouter
    from gitpaas.runtimes.host import HostRuntime

    prepare(config)
    return Platform(
        config=config,
        store=store.connect(config.database, config.secret_key),
        runtime=HostRuntime(config),
        router=CaddyRouter(config.routes),
    )
