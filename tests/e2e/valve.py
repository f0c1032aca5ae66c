"""A ProxyCommand for ssh: PORT BYTES. So many bytes reach the server of this machine and no more: then a test finds a
push half-way for as long as it wants."""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress

_PIECE = 65536


def _back(server: socket.socket) -> None:
    """What the server says, until it is gone."""
    with suppress(OSError):
        while data := server.recv(_PIECE):
            os.write(1, data)
    os._exit(0)


def main(port: int, left: int) -> None:
    server = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=_back, args=(server,), daemon=True).start()
    while left > 0 and (data := os.read(0, min(_PIECE, left))):
        server.sendall(data)
        left -= len(data)
    threading.Event().wait()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
