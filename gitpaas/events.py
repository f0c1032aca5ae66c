"""Events: who did what, when, from where and with what result. Kept by age, also those of apps that are gone."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from gitpaas.errors import GitpaasError, NotAllowed
from gitpaas.store import Event
from gitpaas.values import Actor

if TYPE_CHECKING:
    from peewee import ModelSelect

_log = logging.getLogger(__name__)

PLATFORM = "gitpaas"  # who does what nobody has asked for
_LONGEST = 500  # characters of a text
_MOST = 200_000  # events; who fills the disk with them loses the oldest before their time
_DAY = 86_400.0


def record(action: str, text: str, *, app: str | None, actor: Actor | None = None, result: str = "ok") -> None:
    """Keep one: `result` is ok, failed or refused; without an actor the platform itself acted.

    `text` must hold no secret. Never raises: what has happened has happened, told or not."""
    who = {"by": actor.name, "key": actor.key, "address": actor.address} if actor else {"by": PLATFORM}
    try:
        Event.create(action=action, text=_plain(text), app=app, result=result, **who)
    except Exception:
        _log.exception("the event %r of %s could not be kept", action, app)


def result_of(error: BaseException) -> str:
    """What is kept as the result when this ended it."""
    return "refused" if isinstance(error, NotAllowed) else "failed"


def explained(text: str, error: BaseException) -> str:
    """The text with the reason of the failure, in the words that the user got."""
    reason = error.message if isinstance(error, GitpaasError) else type(error).__name__
    return f"{text}: {reason}" if text else reason


def latest(count: int, *, app: str | None = None, since: float = 0.0, apps_only: bool = False) -> list[Event]:
    """The last `count` events, oldest first: of one app, or of all; `apps_only` leaves out the machine's own."""
    return list(reversed(_chosen(app, apps_only).where(Event.at >= since).order_by(Event.id.desc()).limit(count)))


def after(number: int, *, app: str | None = None, apps_only: bool = False) -> list[Event]:
    """Those that came after the event of this number, oldest first."""
    return list(_chosen(app, apps_only).where(Event.id > number).order_by(Event.id))


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


def _chosen(app: str | None, apps_only: bool) -> ModelSelect[Event]:
    query = Event.select()
    if app is not None:
        return query.where(Event.app == app)
    return query.where(Event.app.is_null(False)) if apps_only else query


def _plain(text: str) -> str:
    """One line, however an error was worded."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
