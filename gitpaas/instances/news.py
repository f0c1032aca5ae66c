"""What reconcile tells of: each time in the app's own log, and as an event when it is news. Of a crash loop that is the
first crash, that it is a loop, and its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from gitpaas import events
from gitpaas.instances.loops import Loops
from gitpaas.instances.plan import LOOP, Missing
from gitpaas.values import Instance, Survey

Tell = Callable[[str, str], None]  # (app, text): a line in the app's own log

_ACTION, _OOM = "reconcile", "out-of-memory"
_BLIND = "Docker Engine does not answer; what runs there, and where its requests go, is left as it is"
_SEES = "Docker Engine answers again"


class News:
    """Remembers what it has told last."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._loops = Loops()
        self._unseen: frozenset[str] = frozenset()
        self._refusals: dict[tuple[str, str], str] = {}  # the last one of each instance that cannot be started

    def engine(self, survey: Survey) -> None:
        """Gone, or back."""
        if bool(survey.unseen) is not bool(self._unseen):
            result = "failed" if survey.unseen else "ok"
            events.record(_ACTION, _BLIND if survey.unseen else _SEES, app=None, result=result)
        self._unseen = survey.unseen

    def ended(self, app: str, missing: Missing, last: Instance) -> None:
        """An instance ended of itself, and is started again after a while."""
        how = _how(last) + (f", {missing.restarts} times in a row" if missing.restarts >= LOOP else "")
        wait = missing.due - time.time()
        text = f"{last.label} {how}; starting again" + (f" in {wait:.0f} s" if wait >= 1 else "")
        self._tell(app, text)
        if last.oom and missing.restarts < LOOP:
            events.record(_OOM, f"{last.label} v{last.release} {how}", app=app, result="failed")
        elif missing.restarts == 1:
            events.record(_ACTION, text, app=app)
        self._loops.crashed(app, missing, how)

    def steady(
        self, app: str, release: int | None, wanted: Mapping[str, Collection[int]], instances: Sequence[Instance]
    ) -> None:
        """Crash loops that are over."""
        for text in self._loops.ended(app, release, wanted, instances):
            self._tell(app, text)

    def is_looping(self, app: str) -> bool:
        """Whether it has a crash loop that is not over."""
        return self._loops.is_open(app)

    def started(self, app: str, missing: Missing) -> None:
        """Something runs again."""
        self._refusals.pop((app, missing.label), None)
        if missing.last is None:
            self._both(app, f"{missing.label} was missing; started again")

    def refused(self, app: str, missing: Missing, reason: str) -> None:
        """It cannot be started: told once for each reason."""
        if self._refusals.get((app, missing.label)) != reason:
            self._refusals[app, missing.label] = reason
            self._both(app, f"{missing.label} cannot be started: {reason}", "failed")

    def silent(self, app: str, instance: Instance, seconds: float) -> None:
        """It runs and does not answer."""
        text = f"{instance.label} did not answer within {seconds:.0f} s; stopping it"
        self._tell(app, text)
        if instance.restarts < LOOP:
            events.record(_ACTION, text, app=app, result="failed")

    def serves(self, app: str, instance: Instance) -> None:
        """It gets requests again, or in the place of a page."""
        if instance.restarts < LOOP:
            events.record(_ACTION, f"{instance.label} v{instance.release} answers; requests go to it", app=app)

    def _both(self, app: str, text: str, result: str = "ok") -> None:
        self._tell(app, text)
        events.record(_ACTION, text, app=app, result=result)


def _how(last: Instance) -> str:
    if last.oom:
        return "ran out of memory"
    return "ended" if last.exit_code is None else f"exited with {last.exit_code}"
