"""Events: who did what, when, from where and with what result. Kept by age, also those of apps that are gone."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitpaas import access
from gitpaas.errors import GitpaasError, NotAllowed
from gitpaas.store import App, Event
from gitpaas.values import Actor

if TYPE_CHECKING:
    from peewee import ModelSelect

_log = logging.getLogger(__name__)

PLATFORM = "gitpaas"  # who does what nobody has asked for
_LONGEST = 500  # characters of a text
_MOST = 200_000  # events; who fills the disk with them loses the oldest before their time
_DAY = 86_400.0
_PAGE = 1000
_MINUTE, _HOUR = 60.0, 3600.0
_OF_ONE, _OF_ALL = 20, 60  # refusals kept in an hour


def record(action: str, text: str, *, app: str | None, actor: Actor | None = None, result: str = "ok") -> None:
    """Keep one: `result` is ok, failed or refused; without an actor the platform itself acted.

    `text` must hold no secret. Never raises: what has happened has happened, told or not."""
    who = {"by": actor.name, "key": actor.key, "address": actor.address} if actor else {"by": PLATFORM}
    try:
        Event.create(action=action, text=_plain(text), app=app, result=result, **who)
    except Exception:
        _log.exception("the event %r of %s could not be kept", action, app)


def refused(action: str, text: str, *, app: str | None, actor: Actor) -> None:
    """Keep that somebody wanted what they may not. The same of the same once a minute, and so many of one and of all in
    an hour: who tries all doors shall not push everything else out."""
    try:
        recent = list(Event.select().where(
            Event.id > last_number() - 20 * _OF_ALL, Event.at > time.time() - _HOUR, Event.result == "refused"
        ))  # fmt: skip
    except Exception:
        _log.exception("the refusal of %r of %s could not be kept", action, app)
        return
    theirs = [one for one in recent if (one.by, one.key, one.address) == (actor.name, actor.key, actor.address)]
    alike = [one for one in recent if (one.key is None) is (actor.key is None)]  # strangers have none
    same = [one.at for one in theirs if (one.action, one.app) == (action, app)]
    if max(same, default=0.0) < time.time() - _MINUTE and len(theirs) < _OF_ONE and len(alike) < _OF_ALL:
        record(action, text, app=app, actor=actor, result="refused")


def result_of(error: BaseException) -> str:
    """What is kept as the result when this ended it."""
    return "refused" if isinstance(error, NotAllowed) else "failed"


def explained(text: str, error: BaseException) -> str:
    """The text with the reason of the failure, in the words that the user got."""
    reason = error.message if isinstance(error, GitpaasError) else type(error).__name__
    return f"{text}: {reason}" if text else reason


@dataclass(frozen=True)
class Wanted:
    """Which: of one app or of all, from one moment to another, and no more than `actor` may see (None: all)."""

    app: str | None = None
    since: float = 0.0
    until: float = math.inf
    actor: Actor | None = None


EVERYTHING = Wanted()


def latest(count: int | None, wanted: Wanted = EVERYTHING) -> Iterator[Event]:
    """The last `count` of them (None: all), oldest first."""
    query = _chosen(wanted).where(Event.at >= wanted.since, Event.at < wanted.until)
    if count is None:
        return _in_pages(query, 0)
    ids = [event.id for event in query.select(Event.id).order_by(Event.id.desc()).limit(count)]
    return _in_pages(query, ids[-1] - 1) if ids else iter(())


def after(number: int, wanted: Wanted = EVERYTHING) -> Iterator[Event]:
    """Those that came after the event of this number, oldest first."""
    return _in_pages(_chosen(wanted), number)


def all_of(action: str) -> list[Event]:
    """Every event of this kind, oldest first."""
    return list(Event.select().where(Event.action == action).order_by(Event.id))


def last_number() -> int:
    """The number of the newest event; 0 when there is none."""
    newest = Event.select(Event.id).order_by(Event.id.desc()).first()
    return newest.id if newest else 0


def trim(days: int) -> None:
    """Remove what is older. Costs one look at the oldest event when there is nothing to do."""
    oldest, limit = Event.select().order_by(Event.id).first(), time.time() - days * _DAY
    if oldest is None:
        return
    if oldest.at < limit:
        Event.delete().where(Event.at < limit).execute()
    if (surplus := last_number() - _MOST) >= oldest.id:
        Event.delete().where(Event.id <= surplus).execute()


def _in_pages(query: ModelSelect[Event], number: int) -> Iterator[Event]:
    """Not all at once: there may be as many as are kept."""
    while page := list(query.where(Event.id > number).order_by(Event.id).limit(_PAGE)):
        yield from page
        number = page[-1].id


def _chosen(wanted: Wanted) -> ModelSelect[Event]:
    """Admins see the machine's own as well. Who has a few apps sees those, not what had their names before."""
    query, actor = Event.select(), wanted.actor
    if wanted.app is not None:
        query = query.where(Event.app == wanted.app)
    if actor is None or access.reaches(actor.role, "admin"):
        return query
    query = query.where(Event.app.is_null(False))
    if actor.role is not None:
        return query
    born = App.select(App.created_at).where(App.name == Event.app)
    return query.where(Event.app << list(actor.grants), Event.at >= born)


def _plain(text: str) -> str:
    """One line, however an error was worded."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
