"""Ends what people have open once they may not have it any more: their key was removed, or some role was taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gitpaas import access
from gitpaas.access import people
from gitpaas.ssh.keys import PublicKey
from gitpaas.store import Store
from gitpaas.values import Actor

_ALL_THE_SAME = 10  # looks after which one is taken whether the database has changed or not: who came in between

_REMOVED = "Your key has been removed from this server."
_LESS = "What you may do here has become less. Ask again for what you still may."


class Member(Protocol):
    """A connection that has logged in."""

    key: PublicKey | None

    def actors(self) -> Iterable[Actor]:
        """As whom its sessions began."""

    def dismiss(self, reason: str) -> None: ...


class Watch:
    """`members`: who is logged in."""

    def __init__(self, store: Store, members: Callable[[], Iterable[Member]]) -> None:
        self._store = store
        self._members = members
        self._seen: object = None
        self._looks = 0

    def look(self) -> None:
        """Compare everybody with the database, if that has changed."""
        version = self._store.version()
        self._looks += 1
        if version == self._seen and self._looks % _ALL_THE_SAME:
            return
        if members := list(self._members()):
            self._compare(members)
        self._seen = version

    def _compare(self, members: Iterable[Member]) -> None:
        with self._store.session():
            now = people.actors()
            for member in members:
                if reason := _reason(member, now):
                    member.dismiss(reason)


def _reason(member: Member, now: Mapping[str, Actor]) -> str | None:
    today = now.get(member.key.fingerprint) if member.key else None
    if today is None:
        return _REMOVED
    less = (access.is_less(today, before, people.those_there(before.grants)) for before in member.actors())
    return _LESS if any(less) else None
