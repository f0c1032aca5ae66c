"""What a client with an unknown key is told: its fingerprint, and how an admin lets it in.

OpenSSH shows a banner at any moment of the login, `git push` passes it on. The server cannot know which of a
client's keys is its last, so each one is answered at once, except those that are known to come along with a key
that does get in: their owner needs no advice.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from gitpaas.ssh.keys import PublicKey, weakness

_REMEMBERED = 256
_SHORT = 300  # characters of a key that can be copied from a terminal in one go


class Strangers:
    """Shared by all connections."""

    def __init__(self) -> None:
        self._companions: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def refusal(self, key: PublicKey) -> str | None:
        """The lines to show, or None when they would only be noise."""
        with self._lock:
            if key.fingerprint in self._companions:
                return None
        if problem := weakness(key):
            return f"{problem} ({key.fingerprint})\nMake a strong one: ssh-keygen -t ed25519\n"
        advice = f"This server does not know the key {key.fingerprint} ({key.kind}).\n"
        advice += "An admin adds its .pub file on the server: gitpaas keys:add NAME FILE\n"
        if len(key.line) <= _SHORT:
            advice += f"or pastes it: echo '{key.line}' | gitpaas keys:add NAME -\n"
        return advice

    def came_along(self, fingerprints: Iterable[str]) -> None:
        """These were refused to a client that then got in with another."""
        with self._lock:
            for fingerprint in fingerprints:
                self._companions[fingerprint] = None
                self._companions.move_to_end(fingerprint)
            while len(self._companions) > _REMEMBERED:
                self._companions.popitem(last=False)
