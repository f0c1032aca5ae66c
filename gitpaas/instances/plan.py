"""What should run against what does run, compared without touching anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gitpaas.values import Exit, Instance

LOOP = 3  # crashes in a row: no accident any more
STEADY = 60.0  # seconds an instance must have run for its next crash to count as the first
_LONGEST_WAIT = 60.0  # seconds between two starts of something that crashes every time


@dataclass(frozen=True)
class Missing:
    """A wanted copy that does not run. `last` is the one that ended in its place."""

    process: str
    number: int
    last: Instance | None = None

    @property
    def label(self) -> str:
        """As its instance's: web.1."""
        return f"{self.process}.{self.number}"

    @property
    def restarts(self) -> int:
        """How many crashes in a row the next start follows."""
        if self.last is None:
            return 0
        ran = (self.last.exited_at or self.last.started_at) - self.last.started_at
        return 1 if ran > STEADY else self.last.restarts + 1

    @property
    def last_exit(self) -> Exit | None:
        """How the one before it ended; of one that left no trace, as little as is known."""
        return self.last.exit if self.last else None

    @property
    def wait(self) -> float:
        """Seconds from its end to its next start: none after the first crash, then 1, 2, 4 ... 60."""
        return 0.0 if self.restarts <= 1 else min(_LONGEST_WAIT, 2.0 ** min(self.restarts - 2, 10))

    @property
    def due(self) -> float:
        """When to start it, in seconds since the epoch."""
        return (self.last.exited_at or self.last.started_at) + self.wait if self.last else 0.0


@dataclass(frozen=True)
class Plan:
    keep: tuple[Instance, ...]
    missing: tuple[Missing, ...]
    retire: tuple[Instance, ...]


def crashes(instance: Instance, now: float) -> int:
    """How many crashes in a row it stands for: 0 for one that has run quietly for a while."""
    if instance.state == "exited":
        return Missing(instance.process, instance.number, instance).restarts
    return instance.restarts if now - instance.started_at < STEADY else 0


def crash_loops(instances: Sequence[Instance], now: float) -> str:
    """ "web.1 keeps crashing (7 times in a row)"; nothing when none does."""
    times = {instance.label: count for instance in instances if (count := crashes(instance, now)) >= LOOP}
    if not times:
        return ""
    verb = "keeps" if len(times) == 1 else "keep"
    return f"{' and '.join(sorted(times))} {verb} crashing ({max(times.values())} times in a row)"


def plan(
    release: int | None,
    wanted: Mapping[str, Collection[int]],
    instances: Sequence[Instance],
    routed: Collection[str],
) -> Plan:
    """Sort instances into those to keep and those to retire, and name the copies that are missing. `wanted` has the
    numbers of each process type: web.1 may have been told to stop while web.2 runs.

    Of two running copies with one label the routed one stays, since it answers; else the younger. One-off commands are
    nobody's copies: they are left out."""
    instances = [instance for instance in instances if instance.one_off is None]
    by_label: dict[tuple[str, int], list[Instance]] = {}
    for instance in sorted(instances, key=lambda i: (i.address in routed, i.started_at), reverse=True):
        if instance.release == release and instance.number in wanted.get(instance.process, ()):
            by_label.setdefault((instance.process, instance.number), []).append(instance)
    keep, missing = [], []
    for process, numbers in wanted.items():
        for number in numbers:
            copies = by_label.get((process, number), [])
            running = [copy for copy in copies if copy.state == "running"]
            if running:
                keep.append(running[0])
            else:
                missing.append(Missing(process, number, copies[0] if copies else None))
    stays = {i.id for i in keep} | {m.last.id for m in missing if m.last}
    return Plan(tuple(keep), tuple(missing), tuple(i for i in instances if i.id not in stays))
