"""Ask an instance from outside whether it is ready: over a plain socket, because this runs every second in an idle
server and an HTTP library costs it 15 MB."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from gitpaas.errors import Unhealthy
from gitpaas.linux import sockets
from gitpaas.values import HealthCheck, Reach

_PAUSE = 0.1  # seconds between two looks
# Seconds between two, and for how long, while nobody listens yet: such a look costs the app nothing.
_EAGER_PAUSE, _EAGER = 0.02, 2.0
_QUIET = 5.0  # seconds of waiting, then people are told for what
_PATIENCE = 5.0  # seconds one look may take
_ELSEWHERE = "The app must listen on the port in PORT, whatever number that is."
_INSIDE = "The app must listen on $PORT at every address (0.0.0.0 or ::), not only at 127.0.0.1."
_ENOUGH = 256 * 1024  # of a body nobody reads; then we hang up


@dataclass(frozen=True)
class Health:
    """It answered: the HTTP status when a path was asked, and the seconds it took to get there."""

    status: int | None
    seconds: float
    address: str  # where


@dataclass(frozen=True)
class _Look:
    """What one try saw. `seen` is for people."""

    ok: bool
    seen: str
    status: int | None = None


def wait_until_healthy(
    reach: Callable[[], Reach],
    check: HealthCheck,
    still_running: Callable[[], bool],
    *,
    host: str | None = None,
    began: float | None = None,
    owner: int | None = None,
    tell: Callable[[str], None] = lambda seen: None,
) -> Health:
    """Look until the instance answers. Unhealthy when it ends first or `check.timeout` is over.

    `reach` is asked before each look where the instance listens: it may choose a port of its own.
    `host` is sent as the Host header (frameworks refuse hosts they do not know); the address when None.
    `began` is when the time began to run (time.monotonic()); now when None.
    `owner` is the user id that the instance runs as: nobody else who listens there counts. None: whoever it is.
    `tell` is called once, with what was seen so far, when it takes long.
    """
    began = time.monotonic() if began is None else began
    is_told = False
    while True:
        left = check.timeout - (time.monotonic() - began)
        found = reach()
        look = _look_at(found, check, host, owner, timeout=min(_PATIENCE, max(left, _PAUSE)))
        taken = time.monotonic() - began
        if look.ok:
            return Health(look.status, taken, str(found.address))
        if not still_running():
            raise Unhealthy(f"The app ended {taken:.1f} s after its start, before it answered", step="start")
        if taken >= check.timeout:
            raise _gave_up(found, check, look)
        if taken >= _QUIET and not is_told:
            is_told = True
            tell(f"{_so_far(found, check, look)}; it has {check.timeout:g} s")
        time.sleep(_EAGER_PAUSE if taken < _EAGER and look.status is None else _PAUSE)


def answers(
    reach: Reach, check: HealthCheck, *, timeout: float = 1.0, host: str | None = None, owner: int | None = None
) -> bool:
    """One look, `timeout` seconds at most."""
    return _look_at(reach, check, host, owner, timeout).ok


def _so_far(reach: Reach, check: HealthCheck, look: _Look) -> str:
    if reach.address is None or not reach.ready:
        return look.seen
    if reach.note and look.status is None:
        return reach.note
    return f"{f'GET {check.path}: ' if check.path else ''}{look.seen} on {reach.address} (PORT)"


def _gave_up(reach: Reach, check: HealthCheck, look: _Look) -> Unhealthy:
    address = reach.address
    if reach.note:
        is_elsewhere = reach.ready and address is not None and look.status is None
        return Unhealthy(
            f"Nothing answered within {check.timeout:g} s: {reach.note}",
            step="start",
            hint=_ELSEWHERE if is_elsewhere else _INSIDE,
        )
    if look.status is not None:
        return Unhealthy(
            f"GET {check.path} on {address} (PORT) gave {look.seen} and nothing better within {check.timeout:g} s",
            step="start",
            hint="The check wants status 200 to 399. Another path: ssh paas checks:set APP path=/up, or app.json",
        )
    return Unhealthy(
        f"Nothing answered on {address} (PORT) within {check.timeout:g} s: {look.seen}",
        step="start",
        hint="Does the app listen on $PORT, at 127.0.0.1 or at every address?",
    )


def _look_at(reach: Reach, check: HealthCheck, host: str | None, owner: int | None, timeout: float) -> _Look:
    if reach.address is None or not reach.ready:
        return _Look(False, reach.note or "it is not ready yet")
    return _look(reach.address, check, host, owner, timeout)


def _look(address: str, check: HealthCheck, host: str | None, owner: int | None, timeout: float) -> _Look:
    deadline = time.monotonic() + timeout
    name, _, port = address.rpartition(":")
    try:
        with socket.create_connection((name.strip("[]"), int(port)), timeout) as connection:
            # Any app may listen on any port: one that is quicker than this one must not get its visitors.
            if owner is not None and (listening := sockets.listening_users(int(port))) - {owner}:
                return _Look(False, f"another user's process listens there (user id {min(listening - {owner})})")
            if check.path is None:
                return _Look(True, "open")
            connection.sendall(_request(check.path, host or address))
            head = _receive(connection, deadline)
    except TimeoutError:
        return _Look(False, f"no answer within {timeout:g} s")
    except ConnectionRefusedError:
        return _Look(False, "connection refused")
    except OSError as error:
        return _Look(False, error.strerror or str(error))
    return _judge(head)


def _request(path: str, host: str) -> bytes:
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: gitpaas-health", "Accept: */*", "Connection: close")
    return "\r\n".join((*lines, "", "")).encode()


def _receive(connection: socket.socket, deadline: float) -> bytes:
    """The first bytes of the answer. The rest is read too: hanging up early fills an app's log with errors."""
    head = b""
    size = 0
    while size < _ENOUGH:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = connection.recv(65536)
        except TimeoutError:
            if b"\n" not in head:
                raise
            break
        if not data:
            break
        head, size = (head + data)[:4096], size + len(data)
    return head


def _judge(head: bytes) -> _Look:
    words = head.split(b"\n", 1)[0].decode("latin-1").split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not (words[1].isascii() and words[1].isdigit()):
        return _Look(False, "something that is not HTTP" if head else "the connection was closed without an answer")
    status = int(words[1])
    return _Look(200 <= status < 400, f"status {status}", status)
