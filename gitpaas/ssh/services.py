"""What sessions lean on: the settings, the keys, the apps, and how to run a command. Built once by the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gitpaas.config import Config
from gitpaas.output import Console
from gitpaas.ssh.children import Orphans
from gitpaas.ssh.journal import Journal
from gitpaas.ssh.keys import Keyring
from gitpaas.ssh.strangers import Strangers
from gitpaas.values import Actor

_MOST_EXPECTED = 1000

Execute = Callable[[Sequence[str], Actor, Console], int]


class Apps(Protocol):
    """What a push and a fetch need to know of apps."""

    def exists(self, name: str) -> bool: ...

    def for_push(self, name: str, actor: Actor, object_format: str) -> None:
        """Make the app and its bare repository when they are not there yet. NotAllowed when this key may not."""

    def deploy_ref(self, name: str, refs: Sequence[str]) -> str | None:
        """The full ref among `refs` that a push deploys, or None."""

    def stored_message(self, name: str, refs: Sequence[str]) -> str:
        """What a push of other branches is told."""

    def live_notice(self, name: str) -> str | None:
        """What a push with nothing to push is told, or None when nothing is live."""


class NewApps:
    """Which hash the first push of a new name may use: SHA-1, unless a client has just given up on that."""

    def __init__(self) -> None:
        self._sha256: set[str] = set()

    def expect_sha256(self, name: str) -> None:
        if len(self._sha256) < _MOST_EXPECTED:
            self._sha256.add(name)

    def formats(self, name: str) -> list[str]:
        """Those to offer, the one of the advertisement first. Asked once, then forgotten."""
        if name in self._sha256:
            self._sha256.discard(name)
            return ["sha256", "sha1"]
        return ["sha1", "sha256"]


class Sessions:
    """The threads of those under way: whoever ends the server gives them time to end what they have started."""

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()

    def begin(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                self._threads.discard(thread)

        thread = threading.Thread(target=run, name="ssh session", daemon=True)
        self._threads.add(thread)
        thread.start()

    def await_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))


@dataclass(frozen=True)
class Services:
    config: Config
    keyring: Keyring
    apps: Apps
    execute: Execute
    journal: Journal
    strangers: Strangers = field(default_factory=Strangers)
    orphans: Orphans = field(default_factory=Orphans)
    new_apps: NewApps = field(default_factory=NewApps)
    sessions: Sessions = field(default_factory=Sessions)
