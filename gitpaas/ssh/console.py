"""A command's input and output over a channel: text in UTF-8, line ends and keys of a terminal where there is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from gitpaas.errors import GitpaasError, UsageError
from gitpaas.output import Console

_MOST_INPUT = 16 * 1024 * 1024
_PIECE = 32_000
_END_OF_INPUT = b"\x04"  # Ctrl-D


class Terminal:
    """`is_gone` says that nobody reads any more: output then vanishes, it never raises."""

    def __init__(self, channel: Channel, is_gone: Callable[[], bool], *, tty: bool) -> None:
        self._channel = channel
        self._is_gone = is_gone
        self._tty = tty

    def console(self, width: int) -> Console:
        # A terminal has one screen: ssh would print both streams there anyway, in no sure order.
        errors = self._channel.sendall if self._tty else self._channel.sendall_stderr
        return Console(
            out=lambda text: self._write(self._channel.sendall, text),
            err=lambda text: self._write(errors, text),
            read=self._read,
            gone=self._is_gone,
            width=width,
            tty=self._tty,
        )

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
