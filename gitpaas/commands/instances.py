"""What ps and top say of an instance: how it is, since when, what it takes, how the last one in its place ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gitpaas.apps import holding
from gitpaas.commands.table import Column, age, iso, render
from gitpaas.instances.gauge import Load
from gitpaas.instances.plan import Missing
from gitpaas.output import seconds
from gitpaas.store import App
from gitpaas.values import Exit, Instance, Page

# At most 80 wide with names such as worker.1; what gets too wide all the same is cut where words are.
_COLUMNS = (
    Column("NAME"), Column("STATE", text=True), Column("REL"), Column("UP"), Column("RESTARTS"),
    Column("LAST EXIT", text=True), Column("MEM"), Column("CPU"), Column("ADDRESS"),
)  # fmt: skip
_MOST_WAITING = 5  # named with the time of their next start; of more there is a count


@dataclass(frozen=True)
class Shown:
    """One app as it is now."""

    app: App
    formation: Mapping[str, int]
    instances: Sequence[Instance]
    loads: Mapping[str, Load]
    route: tuple[str, ...] | Page | None
    is_unseen: bool = False  # nobody can say what runs now

    def status(self, instance: Instance) -> str:
        """In one word; of one that runs, whether it is there to stay, and whether it answers yet."""
        live, is_held = self.app.release or 0, holding.is_held(self.app, instance.process, instance.number)
        if instance.state == "exited":
            return "stopped" if is_held else "crashed" if instance.oom or instance.exit_code else "exited"
        if instance.one_off is not None:
            return "running"
        if is_held:
            return "stopping"
        if instance.release < live or instance.number > self.formation.get(instance.process, 0):
            return "draining"  # it ends what it was asked before the switch
        if instance.release > live or not self._is_routed(instance):
            return "draining" if self._has_successor(instance) else "starting"
        return "running"

    def starts_at(self, instance: Instance) -> float | None:
        """When one that has ended is started again: seconds since the epoch."""
        is_held = holding.is_held(self.app, instance.process, instance.number)
        if instance.state != "exited" or instance.release != self.app.release or is_held:
            return None
        return Missing(instance.process, instance.number, instance).due

    def absent(self) -> Iterator[tuple[str, str]]:
        """Name and state of what is wanted, or held, and of which there is no trace."""
        lacking = "unknown" if self.is_unseen else "missing"
        present = {(instance.process, instance.number) for instance in self.instances}
        for process, numbers in holding.copies(self.app, self.formation).items():
            for number in numbers:
                if (process, number) not in present:
                    is_held = holding.is_held(self.app, process, number)
                    yield f"{process}.{number}", "stopped" if is_held else lacking

    def _is_routed(self, instance: Instance) -> bool:
        if instance.address is None or self.route is None:
            return True  # nobody asks it
        return not isinstance(self.route, str) and instance.address in self.route

    def _has_successor(self, instance: Instance) -> bool:
        others = [one for one in self.instances if (one.label, one.release) == (instance.label, instance.release)]
        return any(self._is_routed(one) and one.started_at > instance.started_at for one in others)


def table(shown: Shown, width: int) -> str:
    """Empty when there is nothing to show."""
    rows = [_row(shown, instance) for instance in shown.instances]
    rows += [[name, state, *["-"] * 7] for name, state in shown.absent()]
    return render(_COLUMNS, rows, width) if rows else ""


def waiting(shown: Shown) -> str:
    """ "Starting again: worker.1 in 31.5s"; nothing when nobody waits for a second or more."""
    now = time.time()
    waits = {i.label: at - now for i in shown.instances if (at := shown.starts_at(i)) is not None and at - now >= 1}
    named = [f"{label} in {seconds(wait)}" for label, wait in sorted(waits.items())[:_MOST_WAITING]]
    more = [f"{len(waits) - len(named)} more"] if len(waits) > len(named) else []
    return f"Starting again: {', '.join([*named, *more])}." if named else ""


def starved(shown: Shown, program: str) -> str:
    """What to do about those whose last end was want of memory."""
    labels = sorted(i.label for i in shown.instances if (how := i.exit or i.last_exit) and how.oom)
    if not labels:
        return ""
    more = f"{program} resource:limit {shown.app.name} -p {labels[0].partition('.')[0]} --memory SIZE"
    return f"{' and '.join(labels)} ran out of memory. To give more: {more}"


def describe(shown: Shown) -> dict[str, Any]:
    """All of it, as JSON shows it."""
    return {
        "app": shown.app.name,
        "formation": dict(shown.formation),
        "stopped": shown.app.stopped,
        "held": sorted(holding.names(shown.app)),
        "instances": [_described(shown, instance) for instance in shown.instances],
        "absent": [{"name": name, "status": state} for name, state in shown.absent()],
    }


def loaded(load: Load | None) -> dict[str, Any]:
    """`memory` in bytes, `cpu_percent` of one CPU, `cpu_seconds` since the start."""
    return {
        "memory": load.memory if load else None,
        "cpu_percent": round(100 * load.cpu, 1) if load and load.cpu is not None else None,
        "cpu_seconds": round(load.cpu_seconds, 2) if load else None,
    }


def memory(load: Load | None) -> str:
    """ "45M", "1.5G"; "-" where it is not known."""
    if load is None:
        return "-"
    megabytes = load.memory / 1024**2
    if megabytes < 9.95:
        return f"{megabytes:.1f}M"
    return f"{megabytes / 1024:.1f}G" if megabytes >= 1000 else f"{megabytes:.0f}M"


def cpu(load: Load | None) -> str:
    """ "0.3%", "98%" of one CPU."""
    if load is None or load.cpu is None:
        return "-"
    percent = 100 * load.cpu
    return f"{percent:.0f}%" if percent >= 9.95 else f"{percent:.1f}%"


def uptime(instance: Instance) -> str:
    return age(time.time() - instance.started_at) if instance.state == "running" else "-"


def ended(how: Exit | None) -> str:
    """ "exit 1", "SIGKILL", "no memory"."""
    if how is None:
        return "-"
    if how.oom:
        return "no memory"
    return signal_name(how) or ("unknown" if how.code is None else f"exit {how.code}")


def signal_name(how: Exit) -> str | None:
    """Of the signal that ended it; None when it was none."""
    with suppress(ValueError):
        return signal.Signals((how.code or 0) - 128).name
    return None


def _row(shown: Shown, instance: Instance) -> list[str]:
    load = shown.loads.get(instance.id)
    how = instance.exit or instance.last_exit
    return [
        instance.label, shown.status(instance), f"v{instance.release}", uptime(instance), str(instance.restarts),
        ended(how), memory(load), cpu(load), instance.address or "-",
    ]  # fmt: skip


def _described(shown: Shown, instance: Instance) -> dict[str, Any]:
    running = instance.state == "running"
    return {
        "name": instance.label,
        "state": instance.state,
        "status": shown.status(instance),
        "release": instance.release,
        "address": instance.address,
        "started_at": iso(instance.started_at),
        "uptime": round(max(0.0, time.time() - instance.started_at), 1) if running else None,
        "exited_at": iso(instance.exited_at),
        "exit_code": instance.exit_code,
        "oom": instance.oom,
        "starts_at": iso(shown.starts_at(instance)),
        "restarts": instance.restarts,
        "last_exit": _exit(instance.exit or instance.last_exit),
        **loaded(shown.loads.get(instance.id)),
    }


def _exit(how: Exit | None) -> dict[str, Any] | None:
    if how is None:
        return None
    return {"code": how.code, "signal": signal_name(how), "oom": how.oom, "at": iso(how.at)}
