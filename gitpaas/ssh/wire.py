"""A channel as dulwich's protocol reads and writes it: whole pieces in, small pieces out together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from gitpaas.ssh.transport import Pipe

_CHUNK = 1024 * 1024
_ENOUGH = 32_000  # bytes that fill a packet
_PATIENCE = 3600.0  # seconds: between two words of a client its pre-push hook may run all its tests
_STALLED = 120.0  # seconds that a client may take nothing of what we send, a hook's lines for one
SILENCE = 5.0  # seconds until a client that waits gets a sign of life, as receive.keepAlive of git


class Wire:
    """EOFError, and never an OSError, when the client has gone or is silent for too long."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ahead = b""  # read from the channel already, taken up to `_at`
        self._at = 0
        self._out: list[bytes] = []
        self._waiting = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes; fewer at the end only."""
        self.flush()
        while len(self._ahead) - self._at < size:
            with self._patience(_PATIENCE):
                piece = self._channel.recv(_CHUNK)
            if not piece:
                break
            self._ahead, self._at = self._ahead[self._at :] + piece, 0
        data = self._ahead[self._at : self._at + size]
        self._at += len(data)
        return data

    def receive(self, keep_alive: Callable[[], None]) -> bytes:
        """Whatever has come. Empty at the end, or once interrupted. `keep_alive` is called while nothing comes."""
        if data := self._ahead[self._at :]:
            self._ahead, self._at = b"", 0
            return data
        deadline = time.monotonic() + _PATIENCE
        with self._patience(SILENCE):
            while time.monotonic() < deadline:
                try:
                    return self._channel.recv(_CHUNK)
                except TimeoutError:
                    keep_alive()
        raise EOFError("the client is silent")

    def interrupt(self, on: bool = True) -> None:
        """Wake receive(), from another thread, until interrupt(False)."""
        cast(Pipe, self._channel.in_buffer).interrupt(on)

    def write(self, data: bytes) -> int:
        self._out.append(data)
        self._waiting += len(data)
        if self._waiting >= _ENOUGH:
            self.flush()
        return len(data)

    def flush(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out, self._waiting = [], 0
            with self._patience(_STALLED):
                self._channel.sendall(data)

    def tell(self, text: str) -> None:
        """Lines on the error stream: git's client shows them whatever it thinks of the push."""
        self.flush()
        with self._patience(_STALLED):
            self._channel.sendall_stderr(text.encode("utf-8", "replace"))

    @property
    def is_gone(self) -> bool:
        transport = self._channel.transport
        return bool(self._channel.closed) or transport is None or not transport.is_active()

    @contextmanager
    def _patience(self, seconds: float) -> Iterator[None]:
        before = self._channel.gettimeout()
        self._channel.settimeout(seconds)
        try:
            yield
        except (OSError, SSHException) as error:
            raise EOFError from error
        finally:
            self._channel.settimeout(before)
