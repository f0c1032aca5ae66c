"""One session of a connection: a command, or git. Its thread, its environment, its one exit status."""

from __future__ import annotations

import logging
import re
import shlex
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from gitpaas import upgrade
from gitpaas.errors import GitpaasError, NotAllowed, UsageError
from gitpaas.output import warning
from gitpaas.ssh.console import Screen, Terminal
from gitpaas.ssh.services import Services
from gitpaas.ssh.transport import Pipe
from gitpaas.values import Actor

if TYPE_CHECKING:
    from gitpaas.ssh.connection import Connection

_log = logging.getLogger(__name__)

_GIT_PROTOCOL = re.compile(rb"version=[0-2](:[a-z0-9=:-]*)?")
_GIT = re.compile(r"git[ -](receive-pack|upload-pack|upload-archive)(\s|$)")
_TERM = re.compile(rb"[A-Za-z0-9][A-Za-z0-9+._-]{0,63}")
_LARGEST = 10_000  # columns or rows
_SIGNALS = ("ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2")
_LEFT = 130  # the exit status after Ctrl-C, as a shell has it


class Session:
    """Requests come on the connection's thread; begin() starts the session's own."""

    def __init__(self, channel: Channel, connection: Connection, services: Services) -> None:
        self.channel = channel
        self.git_protocol: str | None = None
        self.actor: Actor | None = None  # once it has begun
        self._connection = connection
        self._services = services
        self._command: bytes | None = None
        self._started = False
        self._screen = Screen()
        self._left = threading.Event()
        self._ending = threading.Lock()
        self._ended = False

    def set_variable(self, name: bytes, value: bytes) -> bool:
        """An environment variable: only the two that mean something here are taken."""
        if name == b"GIT_PROTOCOL" and _GIT_PROTOCOL.fullmatch(value):
            self.git_protocol = value.decode()
            return True
        if name == b"COLUMNS" and re.fullmatch(rb"[1-9]\d{0,3}", value):
            return self.resize(int(value), 0)
        return False

    def set_terminal(self, kind: bytes, columns: int, rows: int) -> bool:
        self._screen.kind = kind.decode("ascii", "ignore") if _TERM.fullmatch(kind) else "dumb"
        self._pipe.watch = self._watch_for_interrupt
        return self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> bool:
        self._screen.resize(min(columns, _LARGEST), min(rows, _LARGEST))
        return True

    def signal(self, name: str) -> None:
        """One that the client passes on (RFC 4254, 6.9): TERM, without SIG."""
        number = getattr(signal, f"SIG{name}", None)
        if name in _SIGNALS and number is not None:
            self._screen.on_signal(number)

    def stop_reading(self) -> None:
        """The client's standard output is closed, as by `| head`: what we send there, nobody gets to see."""
        self._screen.is_read = False

    def set_command(self, command: bytes) -> bool:
        """What to run; one a session."""
        if self._command is not None:
            return False
        self._command = command
        return True

    def begin(self) -> None:
        """Run the command that was asked for, once."""
        if self._command is not None and not self._started:
            self._started = True
            self._services.sessions.begin(partial(self._run, self._command))

    def leave(self) -> None:
        """The client has closed the channel or is gone."""
        self._left.set()
        if not self._started:
            self._connection.forget(self)

    def dismiss(self, reason: str) -> None:
        """End it now, and say why. What has begun and must go on goes on, as when the client leaves."""
        with self._ending:  # what ends by being told so has not the last word
            self._left.set()
            self._pipe.interrupt()
            self._complain(reason)
            self._send_end(NotAllowed.exit_code)

    @property
    def _pipe(self) -> Pipe:
        return cast(Pipe, self.channel.in_buffer)

    def _watch_for_interrupt(self, data: bytes) -> None:
        """Ctrl-C: what runs goes on if it must, the person at the keyboard does not wait for it."""
        if b"\x03" in data and not self._screen.is_raw and not self._left.is_set():
            self._left.set()
            self._pipe.interrupt()
            self._hang_up(_LEFT)

    def _run(self, command: bytes) -> None:
        code = 1
        try:
            code = self._guarded(lambda: self._dispatch(_text(command), self._who()))
        finally:
            self._hang_up(code)
            self._connection.forget(self)

    def _guarded(self, work: Callable[[], int]) -> int:
        """Every ending becomes an exit status, every error one that its reader understands."""
        try:
            return work()
        except GitpaasError as error:
            self._complain(error.message, error.hint)
            return error.exit_code
        except Exception as error:
            if isinstance(error, EOFError) or (isinstance(error, OSError | SSHException) and self._is_gone()):
                _log.debug("%s: the client left: %r", self._connection.address, error)
            else:
                _log.exception("%s: a session failed", self._connection.address)
                hint = upgrade.HINT if upgrade.has_come(self._services.config) else None
                self._complain("Something went wrong on the server; its log has the details.", hint)
        return 1

    def _dispatch(self, line: str, actor: Actor) -> int:
        if _GIT.match(line):
            from gitpaas.ssh import git  # late: dulwich, only once somebody pushes

            return git.serve(self.channel, _words(line), actor, self._services, self.git_protocol)
        terminal = Terminal(self.channel, self._is_gone, self._screen)
        return self._services.execute(_words(line), actor, terminal.console())

    def _who(self) -> Actor:
        """Asked anew for each session: a connection may live longer than its key."""
        key = self._connection.key
        actor = self._services.keyring.actor(key, self._connection.address) if key is not None else None
        if actor is None:
            raise NotAllowed("Your key has been removed from this server.")
        self.actor = actor
        return actor

    def _is_gone(self) -> bool:
        return self._left.is_set() or self.channel.closed or not self._connection.is_active()

    def _complain(self, message: str, hint: str | None = None) -> None:
        end = "\n" if self._screen.kind is None else "\r\n"
        with suppress(OSError, EOFError, SSHException):
            self.channel.sendall_stderr(warning(message, hint, end).encode())

    def _hang_up(self, code: int) -> None:
        with self._ending:
            self._send_end(code)

    def _send_end(self, code: int) -> None:
        """Once, with the lock: who comes second may cut the connection, and so waits until it is said."""
        if self._ended or self.channel.closed:
            return
        self._ended = True
        with suppress(OSError, EOFError, SSHException):
            self.channel.send_exit_status(code)
            self.channel.close()


def _text(command: bytes) -> str:
    try:
        return command.decode()
    except UnicodeDecodeError:
        raise UsageError("That command is not UTF-8 text.") from None


def _words(line: str) -> list[str]:
    """Split as a shell would, and nothing else that a shell would do."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"That command cannot be read: {error}.", "Check its quotes.") from None
