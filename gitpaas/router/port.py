"""Whether the router's port is free. Caddy would not notice: it shares a port with whoever else has SO_REUSEPORT."""

from __future__ import annotations

import errno
import socket

from gitpaas.errors import RouterFailed
from gitpaas.router import proc


def require(bind: str, port: int, *, ours: int | None = None) -> None:
    """RouterFailed, saying who has it, unless `bind:port` is free or held by process `ours`."""
    try:
        _bind(bind, port)
    except socket.gaierror as error:
        raise RouterFailed(f"GITPAAS_BIND={bind} is not an address: {error.strerror}") from error
    except OSError as error:
        holder = proc.listener(port)
        if error.errno != errno.EADDRINUSE or not _is(holder, ours):
            raise _explained(error, f"{bind}:{port}", holder) from error


def connectable(bind: str) -> str:
    """Where a listener on `bind` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104 (compared, not bound)


def _bind(bind: str, port: int) -> None:
    for family, kind, _, _, address in socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            # Connections that just ended (TIME_WAIT) do not count; a listener still does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)


def _is(holder: proc.Holder | None, ours: int | None) -> bool:
    """Where /proc does not tell the holder, it may be ours."""
    return ours is not None and (holder is None or holder.pid == ours)


def _explained(error: OSError, address: str, holder: proc.Holder | None) -> RouterFailed:
    if error.errno == errno.EADDRINUSE:
        who = f"{holder.name} (pid {holder.pid})" if holder else "another process"
        return RouterFailed(f"{address} is taken by {who}", "Stop it, or choose another port: GITPAAS_HTTP_PORT=8081")
    if error.errno == errno.EACCES:
        return RouterFailed(
            f"Only root may listen on {address}",
            "Choose a port from 1024 on: GITPAAS_HTTP_PORT=8080, or start as root.",
        )
    return RouterFailed(f"The router cannot listen on {address}: {error.strerror}", "Check GITPAAS_BIND.")
