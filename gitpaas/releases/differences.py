"""What a release changed, against the one that was live before it. Config vars are compared, never shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitpaas import releases
from gitpaas.apps import configvars
from gitpaas.platform import Platform
from gitpaas.store import App, Release


@dataclass(frozen=True)
class Names:
    """What is there of the one and not of the other, and what of both but not alike. Sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True)
class Difference:
    """`commits` and each quantity of `formation`: then and now, where they are not the same."""

    since: int  # the number of the one before
    commits: tuple[str, str] | None
    artifact: bool  # whether it runs another one
    config: Names
    processes: Names
    formation: Mapping[str, tuple[int, int]]


def since_before(platform: Platform, app: App, release: Release) -> Difference | None:
    """None for the first one."""
    before = releases.before(app, release.number)
    return _between(platform, before, release) if before else None


def _between(platform: Platform, before: Release, after: Release) -> Difference:
    then, now = releases.artifact(before), releases.artifact(after)
    return Difference(
        since=before.number,
        commits=(before.commit, after.commit) if before.commit != after.commit else None,
        artifact=then.reference != now.reference,
        config=_names(configvars.of_release(platform, before), configvars.of_release(platform, after)),
        processes=_names(then.processes, now.processes),
        formation=_quantities(json.loads(before.formation), json.loads(after.formation)),
    )


def _names(then: Mapping[str, Any], now: Mapping[str, Any]) -> Names:
    return Names(
        added=tuple(sorted(now.keys() - then.keys())),
        removed=tuple(sorted(then.keys() - now.keys())),
        changed=tuple(sorted(name for name in now.keys() & then.keys() if now[name] != then[name])),
    )


def _quantities(then: Mapping[str, int], now: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Nothing where one of the two is not known: releases did not always write it down, nor has one that failed any."""
    pairs = {process: (then.get(process, 0), now.get(process, 0)) for process in sorted(then.keys() | now.keys())}
    return {process: pair for process, pair in pairs.items() if pair[0] != pair[1]} if then and now else {}
