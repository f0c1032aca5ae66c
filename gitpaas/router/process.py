"""Caddy as a child that outlives us: found again by the lock it holds, kept alive, told of a changed Caddyfile.

Caddy inherits the open file of its lock, so the kernel says whether one runs, frees the lock with its death, and lets
no second one start.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from gitpaas import locks, ports, shell
from gitpaas.config import Config
from gitpaas.errors import CommandFailed, Conflict, RouterFailed
from gitpaas.linux import sockets
from gitpaas.router import trouble
from gitpaas.router.command import command, environment, find_binary

_log = logging.getLogger(__name__)

_PORT = "GITPAAS_HTTP_PORT"

_READY = 10.0  # seconds until a new one must accept
_RELOAD = 10.0  # seconds a running one has to take its configuration
_GOODBYE = 5.0  # seconds between SIGTERM and SIGKILL; the Caddyfile's grace_period is shorter
_LETS_GO = 0.5  # seconds
_LOG_LIMIT = 256 * 1024

# The shell leaves its pid, which is Caddy's after exec, in the lock file: found even if we are killed right here.
_LAUNCH = 'echo "$$" >"$0" && exec "$@"'


class CaddyProcess:
    """The one Caddy of a state directory. Any process may ask for its pid or stop it; the server starts and checks."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = config.locks / "caddy"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Take over a running one and bring it up to date, else start one. RouterFailed unless it accepts then."""
        if not self._take_over():
            self.stop()
            self.check()

    def check(self) -> None:
        """Start it again when it has died: cheap enough for several times a second. RouterFailed."""
        with self._free_lock() as lock:
            if lock is not None:
                self._reap()
                self._launch(lock)

    def stop(self) -> None:
        """End it, with a moment for running requests. Safe when none runs."""
        began = time.monotonic()
        self._signal(signal.SIGTERM)
        while locks.is_held(self._lock):
            if time.monotonic() > began + _GOODBYE:
                self._signal(signal.SIGKILL)
            if time.monotonic() > began + 2 * _GOODBYE:
                raise RouterFailed("Caddy does not end", f"See what holds {self._lock}")
            time.sleep(0.01)
        self._reap()

    def pid(self) -> int | None:
        """The running one's, whoever started it."""
        if not locks.is_held(self._lock):
            return None
        try:
            pid = int(self._lock.read_text())
        except ValueError:  # just being started
            return None
        # No files: we may not look, as when its program has capabilities of its own (to listen on port 80).
        files = sockets.open_files(pid)
        return pid if not files or str(self._lock.resolve()) in files else None

    def _take_over(self) -> bool:
        """Whether a running one of this very program accepted today's Caddyfile. Unchanged, it cuts nobody."""
        pid = self.pid()
        if pid is None or sockets.executable(pid) not in (None, str(self._binary)):
            return False
        ports.require(self._config.bind, self._config.http_port, _PORT, ours=pid)
        try:
            argv = command(self._binary, "reload")
            reload = shell.run(argv, env=environment(self._config), cwd=self._config.home, timeout=_RELOAD)
        except CommandFailed as error:
            _log.warning("the running Caddy (pid %d) does not answer and is replaced: %s", pid, error)
            return False
        if reload.code:
            _log.warning("the running Caddy (pid %d) is replaced: %s", pid, " ".join(reload.tail[-1:]))
        return reload.code == 0

    def _launch(self, lock: int) -> None:
        self._require_port()
        began = time.time()
        with self._output() as output:
            child = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, str(self._lock), *command(self._binary, "run")],
                cwd=self._config.home,
                env=environment(self._config),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(lock,),
            )
        self._child = child
        if not self._await_ready(child):
            child.kill()
            self._reap()
            logs = (self._config.caddy / "output.log", self._config.caddy / "caddy.log")
            why = trouble.reason(self._config, self._binary, logs, began)
            raise RouterFailed(f"Caddy does not start: {why}", f"Its logs are in {self._config.caddy}")
        _log.info("Caddy runs (pid %d)", child.pid)

    def _require_port(self) -> None:
        """A Caddy that was killed lets go of its lock a moment before its port."""
        deadline = time.monotonic() + _LETS_GO
        while True:
            try:
                return ports.require(self._config.bind, self._config.http_port, _PORT)
            except Conflict:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _await_ready(self, child: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _READY
        while time.monotonic() < deadline and child.poll() is None:
            if self._accepts():
                return True
            time.sleep(0.01)
        return False

    def _accepts(self) -> bool:
        address = (ports.connectable(self._config.bind), self._config.http_port)
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            return False
        return True

    def _signal(self, number: int) -> None:
        if (pid := self.pid()) is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._child = None

    @contextmanager
    def _free_lock(self) -> Iterator[int | None]:
        """The lock, its file emptied and open to be inherited; None while a Caddy has it."""
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
        except BlockingIOError:
            yield None
        else:
            yield fd
        finally:
            os.close(fd)

    @cached_property
    def _binary(self) -> Path:
        return find_binary(self._config.environ.get("PATH"))

    @contextmanager
    def _output(self) -> Iterator[int]:
        """What Caddy says before it has read its configuration, and when it breaks down."""
        fd = os.open(self._config.caddy / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size > _LOG_LIMIT:
                os.ftruncate(fd, 0)
            yield fd
        finally:
            os.close(fd)
