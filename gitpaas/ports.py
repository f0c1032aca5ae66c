"""Whether a port is free, and who has it if not. Caddy would not notice: it shares its port with whoever asks to."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

from gitpaas.errors import Conflict
from gitpaas.linux import sockets


def require(bind: str, port: int, setting: str, *, ours: int | None = None) -> None:
    """Conflict, saying who has it, unless `bind:port` is free or held by process `ours`. `setting` chooses the port."""
    try:
        _bind(bind, port)
    except socket.gaierror as error:
        raise Conflict(f"GITPAAS_BIND={bind} is not an address: {error.strerror}") from error
    except OSError as error:
        holder = sockets.listener(port)
        if error.errno != errno.EADDRINUSE or not _is(holder, ours):
            raise _explained(error, bind, port, setting, holder) from error


def connectable(bind: str) -> str:
    """The address at which a listener on `bind` is reached from this machine; `bind` itself when that is none."""
    try:
        ip = socket.getaddrinfo(bind, None, type=socket.SOCK_STREAM)[0][4][0]
    except socket.gaierror:
        return bind
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(ip), str(ip))  # noqa: S104 (compared, not bound)


def is_loopback(bind: str) -> bool:
    """Whether only this machine reaches a listener on `bind`."""
    try:
        return ip_address(connectable(bind)).is_loopback and bind not in ("0.0.0.0", "::")  # noqa: S104 (compared)
    except ValueError:
        return False


def _bind(bind: str, port: int) -> None:
    for family, kind, _, _, address in socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            # Connections that just ended (TIME_WAIT) do not count; a listener still does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)


def _is(holder: sockets.Holder | None, ours: int | None) -> bool:
    """Where /proc does not tell the holder, it may be ours."""
    return ours is not None and (holder is None or holder.pid == ours)


def _explained(error: OSError, bind: str, port: int, setting: str, holder: sockets.Holder | None) -> Conflict:
    address = f"{bind}:{port}"
    if error.errno == errno.EADDRINUSE:
        who = f"{holder.name} (pid {holder.pid})" if holder else "another process"
        return Conflict(
            f"{address} is taken by {who}", f"Stop it, or choose another port, for example {setting}={port + 100}"
        )
    if error.errno == errno.EACCES:
        return Conflict(
            f"Only root may listen on {address}",
            f"Choose a port from 1024 on with {setting}, or start as root.",
        )
    return Conflict(f"Cannot listen on {address}: {error.strerror}", "Check GITPAAS_BIND.")
