"""Ports of this machine for tests: others in each process that runs tests, and below those that the kernel gives to
whoever asks."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import closing

import users

_FIRST = 10_000 + 625 * users.PLACE  # servers of tests/e2e have those from 20000
APPS = (_FIRST, _FIRST + 499)  # app_ports
_OWN = range(_FIRST + 500, _FIRST + 625)
_numbers = itertools.count(os.getpid())


def free_port() -> int:
    """One that nobody listens on, and that nobody gets before a server of the test has taken it."""
    # Where connections have just ended (TIME_WAIT) only some may listen, so such a port comes last.
    for is_lenient in (0, 1):
        for number in itertools.islice(_numbers, len(_OWN)):
            port = _OWN[number % len(_OWN)]
            if _is_free(port, is_lenient):
                return port
    raise AssertionError(f"somebody listens on all of {_OWN}")


def _is_free(port: int, is_lenient: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, is_lenient)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
