"""A running router in a state directory of its own, and requests to it by host name."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ports import free_port

from gitpaas.config import Config, load
from gitpaas.router.caddy import CaddyRouter
from gitpaas.router.process import CaddyProcess


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in small letters
    body: bytes


@dataclass
class Routing:
    config: Config
    caddy: CaddyProcess
    router: CaddyRouter

    @property
    def address(self) -> tuple[str, int]:
        return self.config.bind, self.config.http_port

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=60)

    def get(self, host: str, path: str = "/", method: str = "GET", **headers: str) -> Answer:
        return self.ask(host, path, method, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def ask(
        self,
        host: str,
        path: str = "/",
        method: str = "GET",
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request over a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers={"Host": host, **(headers or {})})  # type: ignore[arg-type]
            return read(connection)
        finally:
            connection.close()

    def raw(self, text: bytes) -> bytes:
        """Bytes as they are, and the first bytes that come back."""
        with socket.create_connection(self.address, timeout=60) as connection:
            with suppress(ConnectionError):  # who has heard enough answers and hangs up, though not all is sent
                connection.sendall(text)
            return connection.recv(65536)


def read(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def settings(home: Path, **values: object) -> Config:
    """Settings on a free port."""
    environ = {"GITPAAS_HOME": str(home), "PATH": os.environ["PATH"], "GITPAAS_HTTP_PORT": str(free_port())}
    config = load(environ | {f"GITPAAS_{name.upper()}": str(value) for name, value in values.items()})
    for directory in (config.routes, config.locks, config.caddy):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return config


@contextmanager
def routing(home: Path, **values: object) -> Iterator[Routing]:
    """Caddy on a free port, ended with the body."""
    config = settings(home, **values)
    caddy = CaddyProcess(config)
    try:
        caddy.start()
        yield Routing(config, caddy, CaddyRouter(config.routes))
    finally:
        caddy.stop()
