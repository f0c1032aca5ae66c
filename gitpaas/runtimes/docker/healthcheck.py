"""The HEALTHCHECK of an image, asked as soon as it makes sense: the engine itself waits half a minute first."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gitpaas.engine import Engine
from gitpaas.engine.execs import execute
from gitpaas.errors import EngineFailed
from gitpaas.output import plain

_PAUSE = 1.0  # seconds from the end of one test to the next
_FIRST = 0.2  # seconds that a look waits for a test that it has begun: most are over by then
_TIMEOUT = 30.0  # seconds that a test may take when the image does not say, as the engine has it
_LAST_BYTES = 300


class Healthcheck:
    """Of one container. Tests run in a thread of their own, one at a time, until one has passed."""

    def __init__(self, engine: Engine, container: str, asked: Mapping[str, Any] | None) -> None:
        """`asked` is the container's Healthcheck, as the engine tells it."""
        self._engine = engine
        self._container = container
        self._argv = command((asked or {}).get("Test") or ())
        self._timeout = (asked or {}).get("Timeout", 0) / 10**9 or _TIMEOUT
        self._passed = not self._argv
        self._note = "its HEALTHCHECK has not passed yet"
        self._next = 0.0
        self._test: threading.Thread | None = None

    def look(self) -> tuple[bool, str]:
        """Whether it has passed, and why not, for people. Takes no longer than a moment."""
        if self._passed:
            return True, ""
        if (self._test is None or not self._test.is_alive()) and time.monotonic() >= self._next:
            self._test = threading.Thread(target=self._run, name="healthcheck", daemon=True)
            self._test.start()
            self._test.join(_FIRST)
        return self._passed, "" if self._passed else self._note

    def _run(self) -> None:
        try:
            code, output = execute(self._engine, self._container, self._argv, self._timeout)
        except EngineFailed as error:
            self._note = f"its HEALTHCHECK cannot be run: {error.message}"
        else:
            said = output[-_LAST_BYTES:].decode("utf-8", "replace")
            self._note = _told(_outcome(code, self._timeout), " ".join(plain(said).split()))
            self._passed = code == 0
        self._next = time.monotonic() + _PAUSE


def command(test: Sequence[str]) -> list[str]:
    """What to run for a `Test` of the engine's API; nothing when there is none."""
    if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
        return []
    return list(test[1:]) if test[0] == "CMD" else ["/bin/sh", "-c", test[1]]


def _outcome(code: int | None, timeout: float) -> str:
    if code is None:
        return f"its HEALTHCHECK takes longer than {timeout:g} s"
    return f"its HEALTHCHECK exited with {code}"


def _told(outcome: str, said: str) -> str:
    return f"{outcome}: {said}" if said else outcome
