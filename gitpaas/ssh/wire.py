"""A channel as dulwich's protocol reads and writes it: whole pieces in, small pieces out together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from paramiko.channel import Channel

from gitpaas.ssh.transport import Pipe

_CHUNK = 1024 * 1024
_ENOUGH = 32_000  # bytes that fill a packet
_PATIENCE = 3600.0  # seconds: between two words of a client its pre-push hook may run all its tests
SILENCE = 5.0  # seconds until a client that waits gets a sign of life, as receive.keepAlive of git


class Wire:
    """OSError when the client has gone, or is silent for an hour."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        channel.settimeout(_PATIENCE)
        self._ahead = b""
        self._out: list[bytes] = []
        self._waiting = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes; fewer at the end only."""
        self.flush()
        while len(self._ahead) < size:
            piece = self.channel.recv(_CHUNK)
            if not piece:
                break
            self._ahead += piece
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def receive(self, keep_alive: Callable[[], None]) -> bytes:
        """Whatever has come. Empty at the end, or once interrupted. `keep_alive` is called while nothing comes."""
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        deadline = time.monotonic() + _PATIENCE
        self.channel.settimeout(SILENCE)
        try:
            while time.monotonic() < deadline:
                try:
                    return self.channel.recv(_CHUNK)
                except TimeoutError:
                    keep_alive()
        finally:
            self.channel.settimeout(_PATIENCE)
        raise TimeoutError("the client is silent")

    def interrupt(self, on: bool = True) -> None:
        """Wake receive(), from another thread, until interrupt(False)."""
        cast(Pipe, self.channel.in_buffer).interrupt(on)

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
            self.channel.sendall(data)

    def tell(self, text: str) -> None:
        """Lines on the error stream: git's client shows them whatever it thinks of the push."""
        self.flush()
        self.channel.sendall_stderr(text.encode("utf-8", "replace"))

    @property
    def is_gone(self) -> bool:
        transport = self.channel.transport
        return bool(self.channel.closed) or transport is None or not transport.is_active()
