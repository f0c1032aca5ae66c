"""Caddy as a child that outlives us: found again by the lock it holds, kept alive, told of a changed Caddyfile."""

from __future__ import annotations

import logging
import socket
import subprocess
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from gitpaas import ports, shell
from gitpaas.config import Config
from gitpaas.errors import CommandFailed, Conflict, RouterFailed
from gitpaas.linux import sockets
from gitpaas.longlived import LongLived, output
from gitpaas.router import trouble
from gitpaas.router.command import command, environment, find_binary

_log = logging.getLogger(__name__)

_READY = 30.0  # seconds until a new one must accept; it takes some 30 ms
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
        self._running = LongLived(config.locks / "caddy", may_hide=True)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Take over a running one and bring it up to date, else start one. RouterFailed unless it accepts then."""
        if not self._take_over():
            self.stop()
            self.check()

    def check(self) -> None:
        """Start it again when it has died: cheap enough for several times a second. RouterFailed."""
        with self._running.taken_if_free() as lock:
            if lock is not None:
                self._reap()
                self._launch(lock)

    def stop(self) -> None:
        """End it, with a moment for running requests. Safe when none runs."""
        if not self._running.end(_GOODBYE):
            raise RouterFailed("Caddy does not end", f"See what holds {self._running.lock}")
        self._reap()

    def pid(self) -> int | None:
        """The running one's, whoever started it."""
        return self._running.pid()

    def _take_over(self) -> bool:
        """Whether a running one of this very program accepted today's Caddyfile. Unchanged, it cuts nobody."""
        pid = self.pid()
        if pid is None or sockets.executable(pid) not in (None, str(self._binary)):
            return False
        for port, setting in self._config.router_ports():
            ports.require(self._config.bind, port, setting, ours=pid)
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
        self._require_ports()
        began = time.time()
        with output(
            self._config.caddy / "output.log", _LOG_LIMIT
        ) as said:  # before it has read its settings, and at its end
            child = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, str(self._running.lock), *command(self._binary, "run")],
                cwd=self._config.home,
                env=environment(self._config),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
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

    def _require_ports(self) -> None:
        """A Caddy that was killed lets go of its lock a moment before its ports."""
        deadline = time.monotonic() + _LETS_GO
        while True:
            try:
                for port, setting in self._config.router_ports():
                    ports.require(self._config.bind, port, setting)
                return
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
        bind = ports.connectable(self._config.bind)
        try:
            for port, _ in self._config.router_ports():
                socket.create_connection((bind, port), timeout=1).close()
        except OSError:
            return False
        return True

    def _reap(self) -> None:
        """Our child is over, or is ended here: without its lock's file, when somebody deletes the state directory of a
        running server, nobody else finds it."""
        if self._child is None:
            return
        for signal_it, patience in ((None, _LETS_GO), (self._child.terminate, _GOODBYE), (self._child.kill, None)):
            if signal_it is not None:
                signal_it()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(patience)
                break
        self._child = None

    @cached_property
    def _binary(self) -> Path:
        return find_binary(self._config.environ.get("PATH"))
