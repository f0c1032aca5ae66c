"""Crash loops as events: one when a loop begins and one when it is over, however often the server is restarted
meanwhile. Which are open the events themselves say: the last one of an instance's name."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from gitpaas import events
from gitpaas.instances.plan import LOOP, STEADY, Missing
from gitpaas.names import instance_name
from gitpaas.values import Instance

_ACTION = "crash-loop"


class Loops:
    """Remembers what is open; reads it from the events when first asked."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] | None = None  # app -> names of instances

    def crashed(self, app: str, missing: Missing, how: str) -> None:
        """Another crash. `how` says what happened: "exited with 1"."""
        label = missing.label
        if missing.restarts < LOOP or label in self._open.get(app, ()):
            return
        self._open.setdefault(app, set()).add(label)
        events.record(_ACTION, f"{label} keeps crashing: it {how}", app=app, result="failed")

    def ended(
        self, app: str, release: int | None, wanted: Mapping[str, Collection[int]], instances: Sequence[Instance]
    ) -> list[str]:
        """What is over, in sentences: it has run for a while without a crash, or is not to run at all."""
        found = []
        for label in sorted(self._open.get(app, ())):
            process, number = instance_name(label)
            steady = [i for i in instances if i.label == label and i.release == release and _is_steady(i)]
            if number in wanted.get(process, ()) and not steady:
                continue
            why = f"v{release} crashes no more" if steady else "is not to run any more, and so crashes no more"
            found.append(f"{label} {why}")
            self._open[app].discard(label)
            events.record(_ACTION, found[-1], app=app)
        return found

    def is_open(self, app: str) -> bool:
        return bool(self._open.get(app))

    @property
    def _open(self) -> dict[str, set[str]]:
        if self._known is None:
            self._known = {}
            for event in events.all_of(_ACTION):
                labels = self._known.setdefault(str(event.app), set())
                change = labels.add if event.result == "failed" else labels.discard
                change(str(event.text).split(" ", 1)[0])
        return self._known


def _is_steady(instance: Instance) -> bool:
    return instance.state == "running" and time.time() - instance.started_at >= STEADY
