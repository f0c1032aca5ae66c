"""The two hot pieces of an SSH transport, quicker and bounded: reading packets, and the buffer of a channel.

paramiko reads each packet with two or three system calls and moves channel data through an array that it copies
again and again; and it believes whatever length a peer claims. Both are replaced through its own hooks
(`packetizer_class`, `Channel.in_buffer`).
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from paramiko.buffered_pipe import PipeTimeout
from paramiko.packet import NeedRekeyException
from paramiko.packet import Packetizer as SlowPacketizer
from paramiko.ssh_exception import SSHException

_LARGEST = 256 * 1024  # bytes of one packet, as OpenSSH
_LARGEST_BEFORE_LOGIN = 36_000  # RFC 4253, 6.1: everybody must take 35000; nobody unknown gets more
_LONGEST_GREETING = 1024  # RFC 4253, 4.2 says 255
_FIRST_BUFFER, _LAST_BUFFER = 16 * 1024, 256 * 1024
_QUICK_ACKS = 64


class Packetizer(SlowPacketizer):
    """Reads from one buffer that grows with the traffic: one `recv` for many packets instead of two for each."""

    logged_in = False

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._sock = sock
        self._buffer = memoryview(bytearray(_FIRST_BUFFER))
        self._start = self._end = 0  # what is in the buffer and not yet taken
        self._quick_acks = _QUICK_ACKS if hasattr(socket, "TCP_QUICKACK") else 0

    def start_handshake(self, timeout: float) -> None:
        """Not with a timer thread for each connection, as paramiko does: the login's time limit covers it."""

    def readline(self, timeout: float) -> str:
        """The peer's greeting, of bounded length. In time: the login's limit covers it."""
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self.read_all(1)
            if len(line) > _LONGEST_GREETING:
                raise SSHException("the greeting is too long")
        return line.decode("utf-8", "replace").rstrip("\r\n")

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        if not 0 <= n <= (_LARGEST if self.logged_in else _LARGEST_BEFORE_LOGIN):
            raise SSHException(f"a packet of {n} bytes is refused")
        if self._end - self._start >= n:
            return self._take(n)
        parts: list[bytes] = []
        while n:
            if self._start == self._end:
                self._fill(may_rekey=check_rekey and not parts)
            parts.append(self._take(min(n, self._end - self._start)))
            n -= len(parts[-1])
        return b"".join(parts)

    def _take(self, n: int) -> bytes:
        begin = self._start
        self._start = begin + n
        return bytes(self._buffer[begin : self._start])

    def _fill(self, *, may_rekey: bool) -> None:
        """Wait for more. EOFError at the end of the connection, NeedRekeyException when new keys are due."""
        if self._end == len(self._buffer) < _LAST_BUFFER:
            self._buffer = memoryview(bytearray(2 * len(self._buffer)))
        while True:
            try:
                self._acknowledge_quickly()
                count = self._sock.recv_into(self._buffer)
            except TimeoutError:
                self._tick(may_rekey)
                continue
            except OSError as error:
                raise EOFError from error
            if count == 0:
                raise EOFError
            self._start, self._end = 0, count
            return

    def _acknowledge_quickly(self) -> None:
        # OpenSSH leaves Nagle's algorithm on until the session starts: with delayed acks each login waits 40 ms.
        if self._quick_acks:
            self._quick_acks -= 1
            with suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _tick(self, may_rekey: bool) -> None:
        if self.closed:
            raise EOFError
        if may_rekey and self.need_rekey():
            raise NeedRekeyException
        cast(Any, self)._check_keepalive()


class Pipe:
    """Stands in for paramiko.BufferedPipe: a queue of chunks, never more than `limit` bytes of them.

    The peer may have one receive window of data under way, and paramiko does not check that it keeps to it.
    """

    def __init__(self, limit: int) -> None:
        self.watch: Callable[[bytes], None] | None = None  # sees each chunk as it comes, on the transport's thread
        self._limit = limit
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._interrupted = False

    def feed(self, data: bytes) -> None:
        if self.watch is not None:
            self.watch(data)
        with self._changed:
            if self._closed or not data:
                return
            if self._size + len(data) > self._limit:
                raise SSHException("the peer sends more than the receive window")
            self._chunks.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """What is there, up to `nbytes`; waits for the first byte. Empty at the end, or when interrupted."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not (self._size or self._closed or self._interrupted):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise PipeTimeout
                self._changed.wait(left)
            return self._take(nbytes)

    def interrupt(self, on: bool = True) -> None:
        """Let reads return at once with what there is, until interrupt(False)."""
        with self._changed:
            self._interrupted = on
            self._changed.notify_all()

    def empty(self) -> bytes:
        with self._changed:
            return self._take(self._size)

    def read_ready(self) -> bool:
        return self._size > 0

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return self._size

    def _take(self, nbytes: int) -> bytes:
        parts, wanted = [], nbytes
        while self._chunks and wanted:
            chunk = self._chunks.popleft()
            if len(chunk) > wanted:
                self._chunks.appendleft(chunk[wanted:])
                chunk = chunk[:wanted]
            parts.append(chunk)
            wanted -= len(chunk)
        self._size -= nbytes - wanted
        return parts[0] if len(parts) == 1 else b"".join(parts)
