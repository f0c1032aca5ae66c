"""The object graph: everything the flow needs, built once per process and passed as an argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from gitpaas import engine, store
from gitpaas.config import Config
from gitpaas.router import Router
from gitpaas.runtimes import Runtime
from gitpaas.store import Store

if TYPE_CHECKING:
    from gitpaas.artifacts import ArtifactStore
    from gitpaas.builders import Builder


@dataclass(frozen=True)
class Platform:
    config: Config
    store: Store
    runtime: Runtime
    router: Router

    @cached_property
    def artifacts(self) -> Mapping[str, ArtifactStore]:
        """By the kind of artifact, for the kinds that this server can run."""
        from gitpaas.artifacts.images import ImageStore
        from gitpaas.artifacts.slugs import SlugStore

        slugs: ArtifactStore = SlugStore(self.config)
        if choose(self.config).name == "host":
            return {slugs.kind: slugs}
        images: ArtifactStore = ImageStore(self.config)
        return {slugs.kind: slugs, images.kind: images}

    @cached_property
    def builders(self) -> tuple[Builder, ...]:
        """What this server can use, loaded when first asked for: only the process that builds needs them.

        The first one's kind of artifact is what it makes by itself; the others are for apps that ask for them."""
        from gitpaas.builders import BUILDERS

        return tuple(one.load(self.config) for one in BUILDERS if one.kind in self.artifacts)

    @cached_property
    def builder_versions(self) -> Mapping[str, str]:
        """Of those builders, by name and in their order, without loading them."""
        from gitpaas.builders import BUILDERS

        return {one.name: one.version() for one in BUILDERS if one.kind in self.artifacts}


@dataclass(frozen=True)
class Choice:
    """Which runtime, and why, in a sentence."""

    name: Literal["host", "docker"]
    why: str


def prepare(config: Config) -> None:
    """Make the state directory (0700) when it is not there yet. Safe to run twice."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    config.home.chmod(0o700)
    for directory in (config.repos, config.routes, config.locks, config.run, config.caddy, config.toolchain):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if config.runtime == "auto" and not config.chosen_runtime.exists():
        choice = decide(config)
        fresh = config.chosen_runtime.with_suffix(".new")
        fresh.write_text(f"{choice.name}\n{choice.why}\n")
        fresh.rename(config.chosen_runtime)


def choose(config: Config) -> Choice:
    """The runtime of this state directory: as the setting says, else as it was decided at init."""
    if config.runtime == "host":
        return Choice("host", "The setting runtime says so.")
    if config.runtime == "docker":
        return Choice("docker", "The setting runtime says so.")
    try:
        name, why = config.chosen_runtime.read_text().splitlines()[:2]
    except (OSError, ValueError):
        return decide(config)
    return Choice("docker" if name == "docker" else "host", why)


def decide(config: Config) -> Choice:
    """What `auto` means on this machine today."""
    if obstacle := obstacle_to_containers(config):
        return Choice("host", obstacle)
    return Choice("docker", f"Docker Engine answers at {config.docker_host}.")


def obstacle_to_containers(config: Config) -> str | None:
    """Why the runtime docker would not work on this machine today."""
    if sys.platform != "linux":
        return "Images are built by a BuildKit of our own, which needs Linux."
    if os.geteuid() != 0:
        return "Images are built by a BuildKit of our own, which needs root."
    if not engine.answers(config.docker_host):
        return f"No Docker Engine answered at {config.docker_host}."
    return None


def build_platform(config: Config) -> Platform:
    """Open the state directory and choose builders, runtime and router."""
    from gitpaas.router.caddy import CaddyRouter

    prepare(config)
    return Platform(
        config=config,
        store=store.connect(config.database, config.secret_key),
        runtime=make_runtime(config),
        router=CaddyRouter(config.routes),
    )


def make_runtime(config: Config) -> Runtime:
    """What runs the apps of this state directory."""
    from gitpaas.runtimes.host import HostRuntime

    if choose(config).name == "host":
        return HostRuntime(config)
    from gitpaas.runtimes.combined import CombinedRuntime
    from gitpaas.runtimes.docker import DockerRuntime

    return CombinedRuntime(HostRuntime(config), DockerRuntime(config))
