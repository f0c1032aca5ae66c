"""Where an instance can be asked now: images do not always listen where they are told, nor say when they are ready."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.runtimes.docker import names
from gitpaas.runtimes.docker.healthcheck import Healthcheck
from gitpaas.runtimes.docker.listening import Listener, Listening
from gitpaas.runtimes.docker.ports import FoundPorts
from gitpaas.runtimes.docker.view import inspect
from gitpaas.values import Instance, Reach

_PROXY = 0.2  # seconds that the engine's proxy needs to find nobody behind it
_SETTLED = 1.0  # seconds that a port must be open before it is taken for the one that was meant


@dataclass
class _Inside:
    """What is known of one container that runs."""

    marks: Mapping[str, str]
    told: int
    exposed: Collection[int]
    listener: Listener
    healthcheck: Healthcheck
    since: dict[int, float] = field(default_factory=dict)  # when other ports were first seen open


class Finder:
    """Remembers what it has seen of each instance until it is told to forget."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._engine = engine
        self._ports = FoundPorts(config)
        self._known: dict[str, _Inside] = {}

    def reach(self, instance: Instance) -> Reach:
        """EngineFailed when the engine does not answer."""
        if instance.address is None:
            return Reach(None)
        inside = self._known.get(instance.id) or self._look_inside(instance)
        if inside is None:
            return Reach(instance.address)
        self._known[instance.id] = inside
        found = self._find(inside, instance)
        if not found.ready:
            return found
        passed, note = inside.healthcheck.look()
        return Reach(found.address, passed, note or found.note)

    def keep(self, keys: Collection[str]) -> None:
        """All others are gone."""
        for key in set(self._known) - set(keys):
            self._known.pop(key, None)

    def forget(self, key: str) -> None:
        """It was stopped."""
        self._known.pop(key, None)
        self._ports.keep(key, None)

    def _look_inside(self, instance: Instance) -> _Inside | None:
        """None when it does not run."""
        container = inspect(self._engine, names.container(instance.id), f"looking at {instance.label}")
        if not container or not container["State"]["Running"]:
            return None
        return _inside(self._engine, container)

    def _find(self, inside: _Inside, instance: Instance) -> Reach:
        heard = inside.listener.look()
        found = self._ports.of(instance.id)
        if heard is None:
            address = names.address(inside.marks, found)
            return Reach(address, not names.published(inside.marks) or _stays_open(address))
        port = _choose(inside, heard, found)
        if port is None:
            return Reach(instance.address, False, _why_not(inside, heard))
        address = names.address(inside.marks, port)
        if address is None:
            there = " ".join(map(str, names.published(inside.marks)))
            return Reach(None, False, f"it listens on port {port}, and only {there} can be reached from this machine")
        if port != (found or inside.told):
            self._ports.keep(instance.id, None if port == inside.told else port)
        return Reach(address, note=_remark(inside, heard, port))


def _inside(engine: Engine, container: Mapping[str, Any]) -> _Inside:
    config, marks = container["Config"], container["Config"]["Labels"]
    exposed = [int(port.partition("/")[0]) for port in config.get("ExposedPorts") or {} if port.endswith("/tcp")]
    return _Inside(
        marks=marks,
        told=int(marks["gitpaas.port"]),
        exposed=frozenset(exposed),
        listener=Listener(engine, container["Id"], container["State"]["Pid"], marks["gitpaas.address"]),
        healthcheck=Healthcheck(engine, container["Id"], config.get("Healthcheck")),
    )


def _choose(inside: _Inside, heard: Listening, found: int | None) -> int | None:
    """The port to ask: the one it was told, else the one that was found before, else one that the image names, else
    the lowest, once one has stayed open for a moment."""
    now = time.monotonic()
    inside.since = {port: inside.since.get(port, now) for port in heard.ports}
    if inside.told in heard.ports:
        return inside.told
    if found in heard.ports:
        return found
    named = heard.ports.intersection(inside.exposed)
    # Some open another door first, for a debugger or for figures, and the one that was meant a moment later.
    has_settled = any(now - since >= _SETTLED for since in inside.since.values())
    return min(named or (heard.ports if has_settled else ()), default=None)


def _stays_open(address: str | None) -> bool:
    """Whether somebody in the container listens: the engine's proxy takes every connection and then hangs up."""
    host, _, port = (address or "").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _PROXY) as connection:
            connection.settimeout(_PROXY)
            return bool(connection.recv(1))
    except TimeoutError:
        return True
    except (OSError, ValueError):
        return False


def _why_not(inside: _Inside, heard: Listening) -> str:
    if heard.inner and not heard.ports:
        where = ", ".join(sorted(heard.inner))
        return f"it listens on {where} only, where nobody outside its container reaches it"
    return f"nothing listens on port {inside.told}"


def _remark(inside: _Inside, heard: Listening, port: int) -> str:
    others = sorted(heard.ports - {port})
    if port == inside.told or not others:
        return ""
    return f"it listens on port {port}, and on {', '.join(map(str, others))}; port {port} is taken for the web's"
