"""Where the steps of builds are in the network: behind a bridge of their own, or, where that cannot be, on the host's.

Behind the bridge a step reaches the outside, but neither what listens on 127.0.0.1 of this machine nor the apps, and
nobody reaches a step.
BuildKit makes it with four plugins (CNI) and iptables.
"""

from __future__ import annotations

import logging
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal, NamedTuple

from gitpaas import shell
from gitpaas.config import Config
from gitpaas.errors import CommandFailed

_log = logging.getLogger(__name__)

_POOLS = (IPv4Network("10.214.0.0/16"), IPv4Network("172.30.0.0/16"), IPv4Network("192.168.192.0/18"))
_ROUTES = Path("/proc/net/route")
_UP = 0x0001


@dataclass(frozen=True)
class Network:
    """How the daemon is told to connect its steps. `missing` says why they share the host's network."""

    mode: Literal["bridge", "host"]
    bridge: str = ""
    subnet: str = ""
    missing: str | None = None


class _Rule(NamedTuple):
    """What is dropped."""

    table: str
    chain: str
    match: tuple[str, ...]


def choose(config: Config, path: str) -> Network:
    """A bridge when this machine has what that needs. `path` is the daemon's PATH."""
    if shutil.which("iptables", path=path) is None:
        return Network("host", missing="iptables is not installed")
    bridge = _bridge(config)
    for subnet in _candidates(config.identity):
        if not any(subnet.overlaps(taken) for taken in (config.app_networks, *_routed(except_by=bridge))):
            return Network("bridge", bridge, str(subnet))
    return Network("host", missing="no private network is free for a bridge")


def keep_from_apps(network: Network, config: Config, path: str) -> None:
    """No step reaches a container or another step, and nobody a step: the plugins allow what starts at the bridge,
    wherever it leads, and Docker what starts at its bridges.

    In tables that are asked before all others: who owns the order in those (Docker, firewalld, ufw) differs."""
    if network.mode == "bridge":
        for rule in _rules(config):
            try:
                _iptables(path, "-C", rule)
            except CommandFailed:
                _add(path, rule)


def forget(config: Config, path: str) -> None:
    """Take away the rules, and the bridge that a killed daemon leaves."""
    for rule in _rules(config):
        with suppress(CommandFailed):
            _iptables(path, "-D", rule)
    with suppress(CommandFailed):
        _run(path, "ip", "link", "delete", _bridge(config))


def _rules(config: Config) -> Iterator[_Rule]:
    own = _bridge(config)
    yield _Rule("raw", "PREROUTING", ("-i", own, "-d", str(config.app_networks)))
    yield _Rule("mangle", "FORWARD", ("-o", own, "-m", "conntrack", "--ctstate", "NEW"))
    # Those of other apps, whose packets come by here where the kernel filters what crosses a bridge (br_netfilter).
    yield _Rule("mangle", "FORWARD", ("-i", own, "-o", own))
    for bridge in ("docker0", "br-+"):
        # But a port that a container publishes is this machine's, as Docker has it.
        yield _Rule("mangle", "FORWARD", ("-i", own, "-o", bridge, "-m", "conntrack", "!", "--ctstate", "DNAT"))


def _add(path: str, rule: _Rule) -> None:
    try:
        _iptables(path, "-A", rule)
    except CommandFailed as error:
        _log.warning("the steps of image builds are not kept apart from containers: %s", error)


def _iptables(path: str, action: str, rule: _Rule) -> None:
    _run(path, "iptables", "-w", "5", "-t", rule.table, action, rule.chain, *rule.match, "-j", "DROP")


def _run(path: str, *argv: str) -> None:
    shell.capture(argv, env={"PATH": path}, timeout=20)


def _bridge(config: Config) -> str:
    """Several servers share a machine, and the name of an interface has 15 characters at most."""
    return f"gpb-{config.identity[:8]}"


def _candidates(identity: str) -> Iterator[IPv4Network]:
    """The same order each time, so that the bridge keeps its address; another one for each server."""
    for pool in _POOLS:
        subnets = list(pool.subnets(new_prefix=24))
        first = int(identity[:8], 16) % len(subnets)
        yield from (*subnets[first:], *subnets[:first])


def _routed(except_by: str) -> Iterator[IPv4Network]:
    """Networks that this machine knows a way to, the default one aside. proc(5), /proc/net/route."""
    try:
        lines = _ROUTES.read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        interface, destination, _, flags, *_, mask = line.split()[:8]
        if interface != except_by and int(flags, 16) & _UP and int(mask, 16):
            yield IPv4Network((_address(destination), _address(mask)), strict=False)


def _address(text: str) -> str:
    """The file has them as hexadecimal numbers in the machine's own byte order."""
    return socket.inet_ntoa(struct.pack("=L", int(text, 16)))
