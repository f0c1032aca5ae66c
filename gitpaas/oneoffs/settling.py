"""What has become of one-off commands: looked at in each round of the reconciler, and told when they have ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from gitpaas import locks, oneoffs
from gitpaas.platform import Platform
from gitpaas.store import App, OneOff
from gitpaas.values import Instance, Survey


class Settling:
    """Remembers which have not ended, as long as the database stays as it is."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._unfinished = platform.store.reading(_unfinished)

    def settle(self, survey: Survey, end: Callable[[Instance], None]) -> None:
        """One look at all of them: tell of those that have ended, and have `end` take away what is left of them."""
        platform, rows = self._platform, self._unfinished.now()
        there = {instance.one_off: instance for instance in survey.instances if instance.one_off is not None}
        for number, instance in there.items():
            if number not in rows:
                end(instance)
            elif not locks.is_held(platform.config.one_off_lock(number)):
                _look_at(platform, rows[number], instance, end)
        for number in () if survey.unseen else rows.keys() - there.keys():
            _look_after(platform, rows[number])


def _unfinished() -> dict[int, OneOff]:
    return {row.id: row for row in OneOff.select(OneOff, App).join(App).where(OneOff.finished_at.is_null())}


def _look_at(platform: Platform, one_off: OneOff, instance: Instance, end: Callable[[Instance], None]) -> None:
    if instance.state == "exited":
        error = "it ran out of memory" if instance.oom else ""
        oneoffs.finish(platform, one_off, code=instance.exit_code, error=error, at=instance.exited_at)
        end(instance)
    elif one_off.timeout is not None and time.time() - instance.started_at > one_off.timeout:
        error = oneoffs.out_of_time(one_off.timeout)
        OneOff.update(error=error).where(OneOff.id == one_off.id, OneOff.error == "").execute()
        end(instance)


def _look_after(platform: Platform, one_off: OneOff) -> None:
    """One without an instance: it is being started, or is lost."""
    if locks.is_held(platform.config.one_off_lock(one_off.id)):
        return
    again = platform.runtime.survey(one_off.app.name)  # it may have been started since the last look
    if not again.unseen and one_off.id not in {instance.one_off for instance in again.instances}:
        oneoffs.finish(platform, one_off)
