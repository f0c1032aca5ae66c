"""Ports of this machine for tests: others in each worker of pytest-xdist, and below those that the kernel gives to
whoever asks. `random` is no help: every test begins with the same seed, so two workers would pick the same one."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import closing

import users

_FIRST = 10_000 + 1250 * (users.WORKER % 8)  # servers of tests/e2e have those from 20000
APPS = (_FIRST, _FIRST + 999)  # app_ports
_OWN = range(_FIRST + 1000, _FIRST + 1250)
_numbers = itertools.count(os.getpid())


def free_port() -> int:
    """One that nobody listens on, and that nobody gets before a server of the test has taken it."""
    for number in itertools.islice(_numbers, len(_OWN)):
        port = _OWN[number % len(_OWN)]
        if _is_free(port):
            return port
    raise AssertionError(f"somebody listens on all of {_OWN}")


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended are no obstacle
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
