"""Places for the processes that run tests on this machine: whoever holds one has ports and user ids of its own, beside
the other workers of pytest-xdist and beside other runs, say of another clone. `random` is no help: every test begins
with the same seed, so two would pick the same."""

from __future__ import annotations

import atexit
import os
import socket

COUNT = 16
_DOORS = range(29_700, 29_700 + COUNT)  # below the ports that the kernel gives to whoever asks
_NAME = "GITPAAS_TESTS_PLACE"  # programs that a test starts, and that load these modules too, are where the test is
_held: list[socket.socket] = []


def take() -> int:
    """A number that no other process has, until this one ends: the kernel takes note who listens on a port, and forgets
    it with the process, however that ends."""
    if inherited := os.environ.get(_NAME):
        return int(inherited)
    for number, port in enumerate(_DOORS):
        if door := _listening(port):
            _held.append(door)
            atexit.register(door.close)  # at the latest: a socket that nobody closes is an error in tests
            os.environ[_NAME] = str(number)
            return number
    raise AssertionError(f"{COUNT} processes run tests on this machine already (ss -ltnp 'sport >= {_DOORS[0]}')")


def give_back() -> None:
    """For who has found out that it runs no tests itself."""
    if _held:
        _held.pop().close()
        del os.environ[_NAME]


def _listening(port: int) -> socket.socket | None:
    door = socket.socket()
    try:
        door.bind(("127.0.0.1", port))
        door.listen()
    except OSError:
        door.close()
        return None
    return door
