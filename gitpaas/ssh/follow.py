"""Follow the hook: hand on what it says for as long as somebody listens, and bring back how it ended."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable
from typing import IO, Protocol, cast

from gitpaas.ssh.children import Orphans
from gitpaas.ssh.wire import SILENCE

_BEAT = 1.0  # seconds between two looks whether the client is still there
_PIECE = 32_000
_FAILED = 1


class Client(Protocol):
    """The other end, as far as a push needs it."""

    def receive(self) -> bytes:
        """More of the pack; empty at the end, or once interrupted."""

    def interrupt(self, on: bool) -> None: ...

    def tell(self, data: bytes) -> None:
        """Lines for the person who pushes. EOFError when nobody takes them."""

    def keep_alive(self) -> None: ...

    def is_gone(self) -> bool: ...


def run_hook(start: Callable[[], subprocess.Popen[bytes]], client: Client, orphans: Orphans) -> int:
    """Its exit status; 1 when it cannot start or was killed. EOFError when the client has gone: it runs on."""
    try:
        process = start()
    except OSError as error:
        client.tell(f" !     The server cannot run hooks/post-receive: {error.strerror}.\n".encode())
        return _FAILED
    try:
        _hand_on(process, client)
    except EOFError:
        orphans.adopt(process)
        raise
    finally:
        cast(IO[bytes], process.stdout).close()
    code = process.wait()
    return code if code >= 0 else _FAILED


def _hand_on(process: subprocess.Popen[bytes], client: Client) -> None:
    stdout, said = cast(IO[bytes], process.stdout), time.monotonic()
    poll = select.poll()
    poll.register(stdout, select.POLLIN)
    while True:
        if poll.poll(_BEAT * 1000):
            data = os.read(stdout.fileno(), _PIECE)
            if not data:
                return
            client.tell(data)
            said = time.monotonic()
        elif process.poll() is not None:
            return  # it has ended; a child of its own still holds the pipe
        elif client.is_gone():
            raise EOFError
        elif time.monotonic() - said >= SILENCE:
            client.keep_alive()
            said = time.monotonic()
