"""The SSH server: listen, one thread a connection, one thread a session. Nothing a client does ends it."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

from paramiko import Ed25519Key

from gitpaas.errors import Conflict
from gitpaas.platform import Platform
from gitpaas.ssh import hostkey
from gitpaas.ssh.apps import PlatformApps
from gitpaas.ssh.connection import Connection
from gitpaas.ssh.ingest import sweep
from gitpaas.ssh.journal import Journal
from gitpaas.ssh.keys import Keyring
from gitpaas.ssh.lobby import Lobby
from gitpaas.ssh.services import Apps, Execute, Services
from gitpaas.ssh.watch import Watch

_log = logging.getLogger(__name__)

_LONGEST_GRACE = 10.0  # seconds that commands of sessions (run, enter) get at the server's end
_FAREWELL = 3.0  # seconds; they are daemons and end with the process at the latest
_BACKLOG = 128
_LOOK_ROUND = 0.5  # seconds between two looks at who is late and which hooks have ended


class SshServer:
    """start() returns when the port accepts; `port` is the real one. stop() cuts everybody off; hooks live on."""

    def __init__(self, platform: Platform, execute: Execute, apps: Apps | None = None) -> None:
        config = platform.config
        self._config = config
        journal = Journal(platform.store)
        self._services = Services(config, Keyring(platform.store), apps or PlatformApps(platform), execute, journal)
        self._lobby = Lobby(config.login_grace, config.max_logins)
        self._watch = Watch(platform.store, lambda: cast(list[Connection], self._lobby.inside()))
        self._host_key = Ed25519Key(filename=str(hostkey.ensure(config.host_key).path))
        self._socket: socket.socket | None = None
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.port = config.ssh_port

    def start(self) -> None:
        """Conflict when the port is taken."""
        self._sweep()
        self._socket = _listen(self._config.bind, self._config.ssh_port)
        self.port = self._socket.getsockname()[1]
        self._threads = [
            threading.Thread(target=self._accept_all, args=(self._socket,), name="ssh accept", daemon=True),
            threading.Thread(target=self._look_round, name="ssh look round", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop listening and disconnect everybody; what they have started for themselves ends. Safe to call twice."""
        self._stopping.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
            self._socket.close()
        for thread in self._threads:
            thread.join(timeout=_FAREWELL)
        self._threads.clear()
        self._lobby.show_out_all()
        self._services.sessions.await_end(_FAREWELL + min(self._config.stop_grace, _LONGEST_GRACE))

    def _accept_all(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                client, address = listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._stopping.is_set():
                    return
                _log.warning("cannot accept a connection: %s", error)  # out of file descriptors, for one
                time.sleep(0.1)
                continue
            self._take_in(client, address[0])

    def _take_in(self, client: socket.socket, address: str) -> None:
        """Whatever goes wrong with one connection is its own trouble."""
        with _closed_on_error(client, address):
            connection = Connection(client, address, self._services, self._lobby.has_logged_in, self._lobby.leave)
            connection.add_server_key(self._host_key)
            if not self._lobby.enter(connection):
                client.close()
                return
            try:
                connection.serve()
            except BaseException:
                self._lobby.leave(connection)
                raise

    def _sweep(self) -> None:
        """One server has one state directory: nothing is being received before it listens."""
        for repository in self._config.repos.glob("*.git"):
            sweep(repository)

    def _look_round(self) -> None:
        """A round that fails is logged; the next one comes all the same."""
        while not self._stopping.is_set():
            try:
                while not self._stopping.wait(_LOOK_ROUND):
                    self._lobby.show_out_the_late()
                    self._services.orphans.reap()
                    self._watch.look()
            except Exception:
                _log.exception("cannot look round")
                self._stopping.wait(_LOOK_ROUND)


@contextmanager
def _closed_on_error(client: socket.socket, address: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        _log.exception("%s: cannot serve this connection", address)
        client.close()


def _listen(bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((bind, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(f"Port {port} on {bind} is taken.", "Choose another: GITPAAS_SSH_PORT.") from error
        raise Conflict(f"Cannot listen on {bind} port {port}: {error.strerror}.", "Set GITPAAS_BIND.") from error
    listener.settimeout(1.0)
    return listener
