"""Programs that wait where a test wants them to, and go on when it says so: nothing depends on who is quicker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Gate:
    """Closed at first. Whoever comes once it is open passes."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=50)

    @property
    def code(self) -> str:
        """A line of Python that passes the gate."""
        address = f"('127.0.0.1', {self._server.getsockname()[1]})"
        return f"import socket; socket.create_connection({address}).recv(1)"

    @property
    def command(self) -> str:
        return f'python3 -I -S -c "{self.code}"'

    def open(self) -> None:
        threading.Thread(target=self._let_pass, daemon=True).start()

    def _let_pass(self) -> None:
        with suppress(OSError):
            while True:
                self._server.accept()[0].close()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@contextmanager
def gate() -> Iterator[Gate]:
    made = Gate()
    try:
        yield made
    finally:
        made.close()
