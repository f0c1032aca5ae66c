"""buildkitd.toml of our daemon, from the server's settings. Keys: docs/buildkitd.toml.md of BuildKit 0.32."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from gitpaas.buildkit.network import Network
from gitpaas.config import Config

_RESERVED = 4  # a quarter of the cache's budget stays, however full the disk is
_FREE = "10%"  # of the disk, which the cache gives way for
_LONGEST_SOCKET = 100  # bytes of its path; the kernel's limit is a few more
_HISTORY = 20  # builds that BuildKit remembers for itself; ours are in the database
# A frontend of anybody's could ask for what is cached of other apps' steps. Of these a Dockerfile may name the first
# two as its syntax; the third is for plans of ours alone, see client.policy.
PLANS = "ghcr.io/railwayapp/railpack-frontend"
_FRONTENDS = ("docker/dockerfile", "docker/dockerfile-upstream", PLANS)


def toml(config: Config, network: Network, uid: int, cgroup: str | None) -> str:
    """The whole file. `uid` may use the socket; `cgroup` is the path of the group that steps run below."""
    return "\n".join((*_daemon(config, uid), *_worker(config, network, cgroup), *_registries(config), ""))


def environment(config: Config, path: str) -> dict[str, str]:
    """What the daemon sees: programs, proxies and certificates."""
    return {
        **config.build_environment(),
        "PATH": path,
        "HOME": "/nonexistent",
        "BUILDKIT_STEP_LOG_MAX_SIZE": str(4 * 1024 * 1024),  # of one step; what is more is cut, and its end shown
        "BUILDKIT_STEP_LOG_MAX_SPEED": "-1",
    }


def _daemon(config: Config, uid: int) -> Iterator[str]:
    yield f"root = {_quoted(config.buildkit / 'root')}"
    yield "[grpc]"
    yield f"uid = {uid}"
    yield from _traces(config.buildkit / "traces.sock")
    yield "[history]"
    yield f"maxEntries = {_HISTORY}"
    yield "[frontend.'gateway.v0']"
    yield f"allowedRepositories = [{', '.join(map(_quoted, _FRONTENDS))}]"


def _traces(path: Path) -> Iterator[str]:
    """BuildKit shows its steps a socket for traces. By itself at one place for all daemons of a machine, and the first
    that ends takes it away from the others."""
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        yield "[otel]"
        yield f"socketPath = {_quoted(path)}"


def _worker(config: Config, network: Network, cgroup: str | None) -> Iterator[str]:
    yield "[worker.containerd]"
    yield "enabled = false"
    yield "[worker.oci]"
    yield "enabled = true"
    yield f"max-parallelism = {max(config.max_builds, os.cpu_count() or 1)}"
    yield "gc = true"
    yield f"reservedSpace = {_quoted(config.build_cache // _RESERVED)}"
    yield f"maxUsedSpace = {_quoted(config.build_cache)}"
    yield f"minFreeSpace = {_quoted(_FREE)}"
    yield f"networkMode = {_quoted(network.mode)}"
    if network.mode == "bridge":
        yield f"bridgeName = {_quoted(network.bridge)}"
        yield f"bridgeSubnet = {_quoted(network.subnet)}"
    if cgroup:
        yield f"defaultCgroupParent = {_quoted(cgroup)}"


def _registries(config: Config) -> Iterator[str]:
    for host in sorted({*config.registry_mirrors, *config.insecure_registries}):
        yield f"[registry.{_quoted(host)}]"
        if host in config.registry_mirrors:
            yield f"mirrors = [{_quoted(config.registry_mirrors[host])}]"
        if host in config.insecure_registries:
            yield "http = true"


def _quoted(value: object) -> str:
    """A basic string of TOML, which JSON's are."""
    return json.dumps(str(value))
