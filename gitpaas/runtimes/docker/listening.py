"""Where the processes in a container listen, as the kernel tells it from inside."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gitpaas.engine import Engine
from gitpaas.engine.execs import execute
from gitpaas.errors import EngineFailed
from gitpaas.linux import sockets

PROC = Path("/proc")
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_PAUSE = 1.0  # seconds between two looks that take a process in the container
_PATIENCE = 5.0
_EVERYWHERE = ("0.0.0.0", "[::]")  # noqa: S104  (nothing is bound here)
_NAME_SERVER = "127.0.0.11"  # the engine's own, in every container


class Listening(NamedTuple):
    """Ports that others can reach, and addresses ("127.0.0.1:5000") that only the container itself can."""

    ports: frozenset[int]
    inner: frozenset[str]


class Listener:
    """Looks into one container: through /proc where that is allowed, since it costs the app nothing."""

    def __init__(self, engine: Engine, container: str, pid: int, address: str) -> None:
        """`container` is the engine's id, `pid` its first process as the engine sees it, `address` its own."""
        self._engine = engine
        self._container = container
        self._proc = PROC / str(pid)
        self._address = address
        self._looked = float("-inf")
        self._seen: Listening | None = None

    def look(self) -> Listening | None:
        """None when nobody can tell: no /proc to read here, and no `cat` in the image."""
        with suppress(OSError):
            if self._container in (self._proc / "cgroup").read_text():  # and no process of another machine
                return self._sort((self._proc / "net" / Path(table).name).read_text() for table in _TABLES)
        if time.monotonic() - self._looked >= _PAUSE:
            self._looked, self._seen = time.monotonic(), self._ask()
        return self._seen

    def _ask(self) -> Listening | None:
        try:
            code, text = execute(self._engine, self._container, ["cat", *_TABLES], _PATIENCE)
        except EngineFailed:
            return None
        # Without IPv6 the second table is missing and cat complains.
        return self._sort([text.decode("ascii", "replace")]) if code in (0, 1) and b"local_address" in text else None

    def _sort(self, tables: Iterable[str]) -> Listening:
        ports, inner = set(), set()
        for address in (address for table in tables for address in sockets.listening(table)):
            host, _, port = address.rpartition(":")
            if host in _EVERYWHERE or host == self._address:
                ports.add(int(port))
            elif host != _NAME_SERVER:
                inner.add(address)
        return Listening(frozenset(ports), frozenset(inner))
