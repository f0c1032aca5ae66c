"""Everybody who is connected: how many may wait to log in, for how long, and who gives way when it is full."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Protocol

_MOST = 512  # connections in all; each costs a thread
MOST_OF_ONE = 64  # of one key: nobody takes the house for themselves


class Guest(Protocol):
    address: str

    @property
    def key(self) -> object:
        """Which logged in."""

    def disconnect(self) -> None: ...


class Lobby:
    """All methods from any thread. `grace`: seconds until a guest must have logged in; `room`: how many may wait."""

    def __init__(self, grace: float, room: int) -> None:
        self._grace = grace
        self._room = room
        self._lock = threading.Lock()
        self._waiting: dict[Guest, float] = {}  # since when, oldest first
        self._inside: set[Guest] = set()

    def enter(self, guest: Guest) -> bool:
        """Take in a new connection; when too many wait, one of them goes. False when the house itself is full."""
        with self._lock:
            if len(self._inside) + len(self._waiting) >= _MOST + self._room:
                return False
            leaving = self._one_too_many() if len(self._waiting) >= self._room else None
            self._waiting[guest] = time.monotonic()
        if leaving is not None:
            leaving.disconnect()
        return True

    def has_logged_in(self, guest: Guest) -> bool:
        """False when its key has as many inside as one may have: then it must go."""
        with self._lock:
            if self._waiting.pop(guest, None) is None:
                return True  # it is on its way out already
            has_room = sum(one.key == guest.key for one in self._inside) < MOST_OF_ONE
            if has_room:
                self._inside.add(guest)
            return has_room

    def leave(self, guest: Guest) -> None:
        with self._lock:
            self._waiting.pop(guest, None)
            self._inside.discard(guest)

    def show_out_the_late(self) -> None:
        """Disconnect everybody whose grace is over."""
        deadline = time.monotonic() - self._grace
        with self._lock:
            late = [guest for guest, since in self._waiting.items() if since < deadline]
        for guest in late:
            guest.disconnect()

    def show_out_all(self) -> None:
        for guest in self.guests():
            guest.disconnect()

    def inside(self) -> list[Guest]:
        """Who has logged in."""
        with self._lock:
            return list(self._inside)

    def guests(self) -> list[Guest]:
        with self._lock:
            return [*self._waiting, *self._inside]

    def _one_too_many(self) -> Guest:
        """The oldest of the address that has most waiting: a flood drowns itself, not the others."""
        crowded = Counter(guest.address for guest in self._waiting).most_common(1)[0][0]
        oldest = next(guest for guest in self._waiting if guest.address == crowded)
        del self._waiting[oldest]
        return oldest
