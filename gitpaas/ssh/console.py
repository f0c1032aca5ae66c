"""A command's input and output over a channel: text in UTF-8, line ends and keys of a terminal where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from gitpaas import output
from gitpaas.errors import GitpaasError, OutOfTime, UsageError
from gitpaas.output import Console

_MOST_INPUT = 16 * 1024 * 1024
_PIECE = 32_000
_LOOK = 0.5  # seconds until a channel that waits is asked whether its client is still there
_END_OF_INPUT = b"\x04"  # Ctrl-D


class Screen:
    """What the client says of its terminal, and of signals; it may say so at any moment."""

    def __init__(self) -> None:
        self.kind: str | None = None  # TERM; None: there is no terminal
        self.columns, self.rows = 80, 24
        self.is_raw = False  # every key is for the program that runs
        self.is_read = True  # somebody takes what is said on standard output
        self.on_resize: Callable[[int, int], None] = lambda columns, rows: None
        self.on_signal: Callable[[int], None] = lambda number: None

    def resize(self, columns: int, rows: int) -> None:
        """A terminal that does not know its size says 0."""
        self.columns, self.rows = columns or self.columns, rows or self.rows
        self.on_resize(self.columns, self.rows)


class Terminal:
    """`is_gone` says that nobody reads any more: output then vanishes, it never raises."""

    def __init__(self, channel: Channel, is_gone: Callable[[], bool], screen: Screen) -> None:
        self._channel = channel
        self._is_gone = is_gone
        self._screen = screen
        self._tty = screen.kind is not None

    def console(self) -> Console:
        # A terminal has one screen: ssh would print both streams there anyway, in no sure order.
        errors = self._channel.sendall if self._tty else self._channel.sendall_stderr
        return Console(
            out=self._say,
            err=lambda text: self._write(errors, text),
            read=self._read,
            gone=lambda: self._is_gone() or not self._screen.is_read,
            width=self._screen.columns,
            tty=self._tty,
            streams=self._streams,
        )

    @contextmanager
    def _streams(self) -> Iterator[ChannelStreams]:
        screen, before = self._screen, self._channel.gettimeout()
        screen.is_raw = True
        self._channel.settimeout(_LOOK)
        try:
            yield ChannelStreams(self._channel, self._is_gone, screen)
        except OutOfTime:
            before = _LOOK  # perhaps nobody takes anything: who is told of it is not waited for
            raise
        finally:
            self._channel.settimeout(before)
            screen.on_resize, screen.on_signal = lambda columns, rows: None, lambda number: None

    def _say(self, text: str) -> None:
        if self._screen.is_read:
            self._write(self._channel.sendall, text)

    def _write(self, send: Callable[[bytes], object], text: str) -> None:
        if self._tty:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        with suppress(OSError, EOFError, SSHException):
            if not self._is_gone():
                send(text.encode("utf-8", "replace"))

    def _read(self) -> bytes:
        """All of standard input; what is typed at a terminal is shown and ends with Ctrl-D."""
        parts, size, end = [], 0, b""
        while piece := self._channel.recv(_PIECE):
            if self._tty:
                piece, end, _ = piece.replace(b"\r", b"\n").partition(_END_OF_INPUT)
                self._write(self._channel.sendall, piece.decode("utf-8", "replace"))
            parts.append(piece)
            size += len(piece)
            if size > _MOST_INPUT:
                raise UsageError(f"More than {_MOST_INPUT // 1024**2} MB of input.")
            if self._tty and end:
                break
        if not end and not self._channel.eof_received:  # half a file or half a password is none
            raise GitpaasError("The connection ended before all of the input was here. Nothing was changed.")
        return b"".join(parts)


class ChannelStreams:
    """output.Streams over a channel that gives up waiting now and then."""

    def __init__(self, channel: Channel, is_gone: Callable[[], bool], screen: Screen) -> None:
        self._channel = channel
        self._is_gone = is_gone
        self._screen = screen
        kind = screen.kind
        self.terminal = None if kind is None else output.Terminal(kind, screen.columns, screen.rows)

    def read(self, timeout: float) -> bytes | None:
        try:
            data = self._channel.recv(_PIECE)
        except TimeoutError:
            return None
        if not data and not self._channel.eof_received:  # a program must not take half of its input for all of it
            raise ConnectionResetError("the client has left")
        return data

    def require_reader(self) -> None:
        if not self._screen.is_read:
            raise BrokenPipeError("nobody takes the output any more")
        if self._is_gone():
            raise ConnectionResetError("the client has left")

    def write(self, data: bytes, *, error: bool = False) -> None:
        send = self._channel.send_stderr if error else self._channel.send
        while data:
            try:
                sent = send(data)
            except TimeoutError:
                sent = 0
            except (OSError, EOFError, SSHException) as problem:
                raise ConnectionResetError("the client has left") from problem
            if not sent or not self._screen.is_read:
                self.require_reader()
            data = data[sent:]

    def listen(self, on_resize: Callable[[int, int], None], on_signal: Callable[[int], None]) -> None:
        self._screen.on_resize, self._screen.on_signal = on_resize, on_signal
        if self.terminal and (self._screen.columns, self._screen.rows) != (self.terminal.columns, self.terminal.rows):
            on_resize(self._screen.columns, self._screen.rows)
