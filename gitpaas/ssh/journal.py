"""What the door itself keeps as events: who was turned away, and pushes of what is not deployed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from gitpaas import events
from gitpaas.errors import NotAllowed, StoreFailed
from gitpaas.git.repository import Move, is_zero
from gitpaas.store import Store
from gitpaas.values import Actor

_log = logging.getLogger(__name__)

_SHOWN = 5  # refs or keys; more are counted
STRANGER = "stranger"


class Journal:
    """Never raises: what has happened has happened, told or not."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def stranger(self, address: str, fingerprints: Sequence[str]) -> None:
        """Somebody came with these keys, and with none that is known."""
        some = _some(list(dict.fromkeys(fingerprints)))
        self._refused("login", f"unknown key {some}", None, Actor(STRANGER, None, address=address))

    def refused(self, action: str, app: str, actor: Actor, error: NotAllowed) -> None:
        """A push or a fetch that may not be."""
        self._refused(action, error.message, app, actor)

    def pushed(self, app: str, actor: Actor, verdicts: Mapping[Move, str | None]) -> None:
        """Refs that moved without a deploy, or that did not, each with its reason."""
        told = [_told(move, reason) for move, reason in verdicts.items()]
        if told:
            self._keep("push", _some(told), app, actor, "failed" if any(verdicts.values()) else "ok")

    def failed(self, app: str, actor: Actor, problem: str) -> None:
        """A push of which nothing was taken."""
        self._keep("push", problem, app, actor, "failed")

    def _keep(self, action: str, text: str, app: str, actor: Actor, result: str) -> None:
        with self._session():
            events.record(action, text, app=app, actor=actor, result=result)

    def _refused(self, action: str, text: str, app: str | None, actor: Actor) -> None:
        with self._session():
            events.refused(action, text, app=app, actor=actor)

    @contextmanager
    def _session(self) -> Iterator[None]:
        try:
            with self._store.session():
                yield
        except StoreFailed:
            _log.exception("an event could not be kept")


def _told(move: Move, reason: str | None) -> str:
    name = move.ref.removeprefix("refs/heads/").removeprefix("refs/")
    return f"{name}: {reason}" if reason else f"{name} {'deleted' if is_zero(move.new) else move.new[:7]}"


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
