"""What should be true of each app now: the live release, and which copies of its process types should run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from gitpaas import releases
from gitpaas.apps import formations, holding
from gitpaas.store import App, Build, Formation, Release, Store
from gitpaas.values import ArtifactKind

_AT_ONCE = 500  # rows that are asked for by their ids; SQLite takes a thousand at least


@dataclass(frozen=True)
class Outline:
    """Of a release what is asked every second. It never changes."""

    number: int
    kind: ArtifactKind
    formation: Mapping[str, int]  # before anybody scaled


@dataclass(frozen=True)
class Intent:
    """What should be true of one app now. Two are equal when they want the same of it."""

    app: App
    outline: Outline | None  # of the live release
    wanted: Mapping[str, tuple[int, ...]]  # the numbers of each process type that should run
    has_builds: bool  # some wait or run, or died unnoticed

    @property
    def number(self) -> int | None:
        return self.outline.number if self.outline else None

    @cached_property
    def release(self) -> Release | None:
        """The row of the live one, read when somebody needs it."""
        return releases.live(self.app)


class Intents:
    """Those of all apps, read again when somebody has written to the database: this process or any other."""

    def __init__(self, store: Store) -> None:
        self._reading = store.reading(self._all)
        self._outlines: dict[int, Outline] = {}  # by the id of the release; of the live ones only

    def now(self) -> Mapping[str, Intent]:
        """By the app's name, in a few queries however many apps there are, and mostly in none."""
        return self._reading.now()

    def _all(self) -> Mapping[str, Intent]:
        live: dict[int, int] = dict(_tuples(_live_now()))
        self._outlines = self._outlined(live.values())
        by_app = {app: self._outlines[release] for app, release in live.items() if release in self._outlines}
        chosen: dict[int, dict[str, int]] = {}
        for app, process, quantity in _tuples(Formation.select(Formation.app, Formation.process, Formation.quantity)):
            chosen.setdefault(app, {})[process] = quantity
        building = {app for (app,) in _tuples(Build.select(Build.app).where(Build.finished_at.is_null()))}
        return {app.name: _intent(app, by_app.get(app.id), chosen.get(app.id, {}), building) for app in App.select()}

    def _outlined(self, live: Collection[int]) -> dict[int, Outline]:
        known = {release: outline for release in live if (outline := self._outlines.get(release))}
        for some in _parts(release for release in live if release not in known):
            fresh = Release.select(Release.id, Release.number, Release.artifact).where(Release.id << some)
            known |= {release: _outline(number, text) for release, number, text in _tuples(fresh)}
        return known


def of(app_name: str) -> Intent | None:
    """That of one app as it is in this moment, or None when the app is gone."""
    app = App.get_or_none(App.name == app_name)
    if app is None:
        return None
    release = releases.live(app)
    outline = _outline(release.number, release.artifact) if release else None
    chosen = {row.process: row.quantity for row in Formation.select().where(Formation.app == app)}
    return _intent(app, outline, chosen, {build.app_id for build in releases.unfinished(app)})


def _intent(app: App, outline: Outline | None, chosen: Mapping[str, int], building: Collection[int]) -> Intent:
    wanted: Mapping[str, tuple[int, ...]] = {}
    if outline is not None and not app.stopped:
        wanted = holding.wanted(app, formations.filled(chosen, outline.formation))
    return Intent(app, outline, wanted, app.id in building)


def _outline(number: int, text: str) -> Outline:
    made = releases.parsed(text)
    return Outline(number, made.kind, formations.first(made))


def _live_now() -> Any:
    return Release.select(Release.app, Release.id).join(App).where(Release.number == App.release)


def _tuples(query: Any) -> Iterable[Any]:
    """Without a model for each row."""
    rows: Iterable[Any] = query.tuples()
    return rows


def _parts(ids: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(ids)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
