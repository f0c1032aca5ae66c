"""How the daemon is to run on this machine today: its settings, limits and network, in one comparable value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gitpaas import linux
from gitpaas.buildkit import network as networks
from gitpaas.buildkit import settings
from gitpaas.buildkit.network import Network
from gitpaas.config import Config
from gitpaas.linux import Cgroup
from gitpaas.values import Limits

SOCKET = "buildkitd.sock"
_MOST_PROCESSES = 8192  # and threads, of all builds together


@dataclass(frozen=True)
class Plan:
    """`toml` differs whenever anything does: a running daemon is today's when that is the file it was started with."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    toml: str
    network: Network
    limits: Limits
    group: Cgroup | None  # all of it: the daemon and the steps of builds


class Planner:
    """Makes the plan, and remembers on the disk what this machine has refused."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._refusals = config.buildkit / "no-bridge"

    @property
    def file(self) -> Path:
        return self._config.buildkit / "buildkitd.toml"

    @property
    def uid(self) -> int:
        """Who may use the socket besides root: a user whom no app has (those begin one higher)."""
        return self._config.app_uid_base

    def plan(self, binary: Path, path: str) -> Plan:
        """`path` is the PATH on which the daemon finds runc, iptables and its network plugins."""
        network, group = self.network(path), self.group()
        env = settings.environment(self._config, path)
        argv = (str(binary), "--config", str(self.file), "--addr", f"unix://{SOCKET}")
        memory = self._config.build_memory * self._config.max_builds
        limits = Limits(memory, _MOST_PROCESSES, cpus=self._config.build_cpus)
        text = settings.toml(self._config, network, self.uid, linux.inner_path(group) if group else None)
        stamp = _stamp(argv, sorted(env.items()), limits, binary.stat().st_mtime_ns)
        return Plan(argv, env, f"# Written by gitpaas at each start ({stamp}).\n{text}", network, limits, group)

    def group(self) -> Cgroup | None:
        return linux.cgroup(f"buildkit-{self._config.identity}")

    def network(self, path: str) -> Network:
        network = networks.choose(self._config, path)
        if network.mode == "bridge" and (refused := self._refusal(network)):
            return Network("host", missing=refused)
        return network

    def refuse(self, network: Network, reason: str) -> None:
        """This very bridge cannot be made here; tried again when the machine has been started again."""
        self._refusals.write_text(f"{_stamp(network)}\n{' '.join(reason.split())}\n")

    def missing(self, path: str) -> list[str]:
        """What this machine lacks for builds that are capped and kept apart, in sentences. Starts nothing."""
        lacks = []
        if reason := self.network(path).missing:
            lacks.append(f"The steps of image builds share the server's network, since {reason}.")
        if linux.cgroup_version() is None:
            lacks.append("No cgroup may be used: image builds may take all of the machine's memory.")
        elif self._config.build_cpus is not None and not linux.can_limit_cpus():
            lacks.append("There is no cpu cgroup: build_cpus limits nothing.")
        return lacks

    def _refusal(self, network: Network) -> str | None:
        try:
            stamp, reason = self._refusals.read_text().splitlines()[:2]
        except (OSError, ValueError):
            return None
        return reason if stamp == _stamp(network) else None


def _stamp(*parts: object) -> str:
    """Another one when something is another, or the machine has been started again."""
    return hashlib.sha256(repr((linux.boot_id(), *parts)).encode()).hexdigest()[:16]
