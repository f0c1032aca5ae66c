"""A network per app, cut from the addresses that are set aside for apps.

The engine's own pools end after 31 networks, and it gives an address again the moment its holder has gone. A route
may still point there, so addresses are given out in turn, here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from pathlib import Path
from typing import Any

from gitpaas import locks
from gitpaas.config import Config
from gitpaas.engine.client import Engine, labels
from gitpaas.errors import EngineFailed, RuntimeFailed

_PREFIX = 26  # 62 addresses: the gateway's and those of 61 containers
_TRIES = 20  # other servers may take the same addresses at the same moment


@dataclass(frozen=True)
class Place:
    """Where one container goes."""

    network: str  # its id
    gateway: IPv4Address
    address: IPv4Address


class Networks:
    """Every call may come from several processes at once: one of them at a time cuts networks and gives addresses."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._config = config

    def place(self, app: str) -> Place:
        """An address in the app's network, which is made when there is none. RuntimeFailed when it is full."""
        with locks.held(self._config.locks / "networks"):
            found = self._find(app) or self._make(app)
            with self._engine.calls(f"looking at the network of {app}"):
                network = self._engine.api.inspect_network(found)
            own = network["IPAM"]["Config"][0]
            gateway, used = IPv4Address(own["Gateway"]), _used(network)
            address = self._next(app, IPv4Network(own["Subnet"]), used | {gateway})
        return Place(found, gateway, address)

    def forget(self, app: str) -> None:
        """Remove the app's network. Gone already is fine."""
        with locks.held(self._config.locks / "networks"):
            if found := self._find(app):
                with self._engine.calls(f"removing the network of {app}", missing_ok=True):
                    self._engine.api.remove_network(found)
            self._cursor(app).unlink(missing_ok=True)

    def _find(self, app: str) -> str | None:
        with self._engine.calls("listing networks"):
            found = self._engine.api.networks(filters=self._engine.filters(app=app))
        return str(found[0]["Id"]) if found else None

    def _make(self, app: str) -> str:
        with self._engine.calls("listing networks"):
            there = self._engine.api.networks()
        taken = [IPv4Network(subnet, strict=False) for subnet in _subnets(there)]
        for subnet in islice(free(self._config.app_networks, taken, self._first), _TRIES):
            if made := self._create(app, subnet):
                return made
        raise RuntimeFailed(
            f"No network is left for {app}: those of {self._config.app_networks} are taken.",
            "Set GITPAAS_APP_NETWORKS to another range, such as 10.128.0.0/12.",
        )

    @property
    def _first(self) -> int:
        """Servers that share an engine begin at different places."""
        return int(self._config.identity, 16)

    def _create(self, app: str, subnet: IPv4Network) -> str | None:
        """None when somebody else has these addresses: the engine knows more than its list of networks tells."""
        ipam = {"Driver": "default", "Config": [{"Subnet": str(subnet), "Gateway": str(subnet[1])}]}
        try:
            with self._engine.calls(f"making a network for {app}"):
                made = self._engine.api.create_network(
                    f"gitpaas-{self._config.identity}-{app}",
                    driver="bridge",
                    ipam=ipam,  # type: ignore[arg-type]
                    labels=labels(self._engine.ours, app=app),
                )
        except EngineFailed as error:
            if "overlap" in error.message or "conflict" in error.message:
                return None
            raise
        return str(made["Id"])

    def _next(self, app: str, subnet: IPv4Network, used: Collection[IPv4Address]) -> IPv4Address:
        cursor, hosts = self._cursor(app), list(subnet.hosts())
        try:
            last = int(cursor.read_text())
        except (OSError, ValueError):
            last = 0
        for step in range(1, len(hosts) + 1):
            index = (last + step) % len(hosts)
            if hosts[index] not in used:
                cursor.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                cursor.write_text(f"{index}\n")
                return hosts[index]
        raise RuntimeFailed(f"The network of {app} is full: it has room for {len(hosts) - 1} containers.")

    def _cursor(self, app: str) -> Path:
        """Where the place of the address given last is kept."""
        return self._config.run / "addresses" / app


def _used(network: dict[str, Any]) -> set[IPv4Address]:
    addresses = (container["IPv4Address"].partition("/")[0] for container in network["Containers"].values())
    return {IPv4Address(address) for address in addresses if address}


def _subnets(networks: Collection[dict[str, Any]]) -> Iterator[str]:
    for network in networks:
        for own in network["IPAM"]["Config"] or ():
            if "." in own.get("Subnet", ""):
                yield own["Subnet"]


def free(pool: IPv4Network, taken: Collection[IPv4Network], first: int) -> Iterator[IPv4Network]:
    """All parts of the pool that overlap with nothing, beginning with the `first` one (modulo their number)."""
    number = 2 ** (_PREFIX - pool.prefixlen)
    for index in range(number):
        part = IPv4Network((int(pool.network_address) + (first + index) % number * 2 ** (32 - _PREFIX), _PREFIX))
        if not any(part.overlaps(other) for other in taken):
            yield part
