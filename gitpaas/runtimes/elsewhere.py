"""Processes that listen, but not on the port that they were given: the commonest reason why nobody answers there."""

from __future__ import annotations

import time

from gitpaas.linux import processes, sockets
from gitpaas.runtimes.records import Records
from gitpaas.values import Instance

_PAUSE = 1.0  # seconds from the start to the first look, and between two: each reads all of /proc
_MOST = 64  # instances that are remembered


class Elsewhere:
    """Asked of instances that do not answer yet, many times a second."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._seen: dict[str, tuple[float, str]] = {}  # by instance: when, and what

    def note(self, instance: Instance) -> str:
        """ "it listens on 127.0.0.1:5000, not on PORT, which is 20017"; nothing when it does, or listens nowhere."""
        now = time.monotonic()
        looked, note = self._seen.get(instance.id, (float("-inf"), ""))
        if time.time() - instance.started_at < _PAUSE or now - looked < _PAUSE:
            return note
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[instance.id] = now, self._look(instance)
        return self._seen[instance.id][1]

    def _look(self, instance: Instance) -> str:
        record = self._records.find(instance.id)
        leader = self._records.process(record) if record else None
        members = processes.session_members(leader) if leader else []
        found = sockets.listening_by(member.pid for member in members)
        wanted = (instance.address or "").rpartition(":")[2]
        is_right = wanted in {address.rpartition(":")[2] for address in found}
        return (
            "" if is_right or not found else f"it listens on {', '.join(sorted(found))}, not on PORT, which is {wanted}"
        )
