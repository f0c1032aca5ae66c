"""A steady load on one host: keep-alive GETs, GETs over new connections, and POSTs, each request counted.

    with Load(("127.0.0.1", 8080), "demo.localhost", rate=200) as load:
        ...switch...
        load.floor = 2          # from now on an answer of version 1 is stale
    print(load.report())

The app answers GET / (and POST /, if it can) with its version, a whole number, as the body's last word ("7",
"version 7"); an answer without one cannot be stale.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

Kind = Literal["get", "new", "post"]

_BODY = b"x" * 2000


@dataclass(frozen=True)
class Report:
    """Counts of one run. Latencies in milliseconds; `failures` holds the first few, in words."""

    seconds: float
    ok: int
    failed: int
    stale: int
    rate: float
    p50: float
    p95: float
    p99: float
    worst: float
    failures: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class Load:
    """Open loop: each worker sends at its times whatever the answers take, so a stall shows in the latencies."""

    def __init__(
        self, address: tuple[str, int], host: str, *, rate: float = 200, workers: int = 9, path: str = "/"
    ) -> None:
        self.floor = 0
        self._address, self._host, self._path = address, host, path
        self._gap = workers / rate
        self._latencies: list[float] = []
        self._failures: list[str] = []
        self._stale = 0
        self._stopping = threading.Event()
        self._began = self._ended = 0.0
        kinds = itertools.islice(itertools.cycle(("get", "new", "post")), workers)
        self._threads = [
            threading.Thread(target=self._work, args=(kind, number * self._gap / workers), daemon=True)
            for number, kind in enumerate(kinds)
        ]

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._ended = time.monotonic()

    @property
    def answers(self) -> int:
        """How many were as they should be, so far."""
        return len(self._latencies)

    def report(self) -> Report:
        """After the end of the body."""
        ms = sorted(1000 * latency for latency in self._latencies) or [0.0]
        taken = self._ended - self._began
        return Report(
            seconds=round(taken, 2),
            ok=len(self._latencies),
            failed=len(self._failures),
            stale=self._stale,
            rate=round((len(self._latencies) + len(self._failures)) / taken, 1),
            p50=round(_at(ms, 0.50), 2),
            p95=round(_at(ms, 0.95), 2),
            p99=round(_at(ms, 0.99), 2),
            worst=round(ms[-1], 2),
            failures=tuple(self._failures[:10]),
        )

    def _work(self, kind: Kind, offset: float) -> None:
        client = _Client(self._address, self._host, self._path, kind)
        due = self._began + offset
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._measure(kind, client.send, due)
            due += self._gap
        client.close()

    def _measure(self, kind: Kind, send: Callable[[], tuple[int, bytes]], due: float) -> None:
        floor = self.floor
        try:
            status, body = send()
        except (OSError, http.client.HTTPException) as error:
            self._failures.append(f"{kind}: {type(error).__name__} {error}")
            return
        if status != 200:
            self._failures.append(f"{kind}: status {status}")
            return
        self._latencies.append(time.monotonic() - due)
        if _version(body, otherwise=floor) < floor:
            self._stale += 1


class _Client:
    """One worker's way to send: no request is ever sent twice."""

    def __init__(self, address: tuple[str, int], host: str, path: str, kind: Kind) -> None:
        self._kind, self._path = kind, path
        self._headers = {"Host": host}
        self._connection = http.client.HTTPConnection(*address, timeout=30)

    def send(self) -> tuple[int, bytes]:
        if self._kind == "new":
            self._connection.close()
        post = self._kind == "post"
        self._connection.request(
            "POST" if post else "GET", self._path, body=_BODY if post else None, headers=self._headers
        )
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        self._connection.close()


def _version(body: bytes, otherwise: int) -> int:
    last = body.split()[-1:] or [b""]
    return int(last[0]) if last[0].isdigit() else otherwise


def _at(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
