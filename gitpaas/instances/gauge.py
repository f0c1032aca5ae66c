"""How busy instances are: since their start at one look, or now, by two looks and the time between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gitpaas.runtimes import Runtime
from gitpaas.values import Instance, Usage

_APART = 0.2  # seconds between the two looks of somebody who asks once


@dataclass(frozen=True)
class Load:
    """What an instance takes."""

    memory: int  # bytes
    cpu: float | None  # of one CPU: 1.5 is one and a half; None when it was seen once only
    cpu_seconds: float  # since its start


def at_once(runtime: Runtime, instances: Sequence[Instance]) -> dict[str, Load]:
    """By the ids of those that run and can be looked at; the CPU is the average since each one's start."""
    running = {instance.id: instance for instance in instances if instance.state == "running"}
    taken = runtime.usage(list(running.values())) if running else {}
    return {key: _average(one, running[key]) for key, one in taken.items()}


class Gauge:
    """Remembers the last look: whoever reads again and again waits for nothing, after the first time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._last: dict[str, Usage] = {}

    def read(self, instances: Sequence[Instance]) -> dict[str, Load]:
        """By the ids of those that run and can be looked at."""
        running = [instance for instance in instances if instance.state == "running"]
        if not self._last and (first := self._runtime.usage(running)):
            self._last = dict(first)
            time.sleep(_APART)
        before, self._last = self._last, dict(self._runtime.usage(running) if running else {})
        return {key: _load(now, before.get(key)) for key, now in self._last.items()}


def _average(taken: Usage, instance: Instance) -> Load:
    up = time.time() - instance.started_at
    return Load(taken.memory, taken.cpu / up if up > 0 else None, taken.cpu)


def _load(now: Usage, before: Usage | None) -> Load:
    if before is None or now.at <= before.at:
        return Load(now.memory, None, now.cpu)
    return Load(now.memory, max(0.0, now.cpu - before.cpu) / (now.at - before.at), now.cpu)
