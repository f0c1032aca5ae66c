"""Ports for instances that listen."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from gitpaas.errors import RuntimeFailed


def free_port(ports: tuple[int, int], taken: Collection[int]) -> int:
    """A port of the range that is not `taken` and that nobody listens on. RuntimeFailed when there is none.

    At random, so that a port is not given again soon after its last holder has gone: somebody may still
    have connections to it in mind.
    """
    first, last = ports
    candidates = [port for port in range(first, last + 1) if port not in taken]
    random.shuffle(candidates)
    for port in candidates:
        if _is_free(port):
            return port
    raise RuntimeFailed(
        f"All ports from {first} to {last} are taken.", "Set GITPAAS_APP_PORTS to a larger range, such as 20000-39999."
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections that an earlier listener closed (TIME_WAIT) are no obstacle, and will not be for the app's server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
