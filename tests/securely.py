"""HTTPS requests to a router, by host name: the server's own root is trusted and nothing else, names are checked."""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path


class Connection(http.client.HTTPSConnection):
    """To this address, as if the DNS had said that the host is there."""

    def __init__(self, host: str, address: tuple[str, int], root: Path, **protocol: ssl.TLSVersion) -> None:
        self.context = ssl.create_default_context(cafile=str(root))
        for name, version in protocol.items():
            setattr(self.context, name, version)
        super().__init__(host, address[1], timeout=60, context=self.context)
        self._address = address

    def connect(self) -> None:
        tcp = socket.create_connection(self._address, 60)
        try:
            self.sock = self.context.wrap_socket(tcp, server_hostname=self.host)
        except OSError:
            tcp.close()
            raise


def certificate(host: str, address: tuple[str, int], root: Path) -> dict[str, object]:
    """As Python's ssl shows it, once it has checked all that it checks."""
    connection = Connection(host, address, root)
    try:
        connection.connect()
        return dict(connection.sock.getpeercert())  # type: ignore[attr-defined]
    finally:
        connection.close()
