"""What the engine sends as it happens (output, events), read from a plain socket.

Many such streams are open at the same time in the server: one thread waits for all of them, and none of them costs
what a connection of the library does. HTTP/1.0 keeps the engine from cutting its answer into chunks.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlencode

from gitpaas.descriptors import close_with
from gitpaas.engine.client import silence
from gitpaas.engine.ping import connect
from gitpaas.errors import EngineFailed
from gitpaas.output import plain

_PATIENCE = 10.0  # seconds until the engine must begin to answer
_LONGEST_HEAD = 64 * 1024
_HEADER = struct.Struct(">BxxxL")  # which stream, and how many bytes follow


class Stream:
    """One answer of the engine that goes on. Closed by `close()` or a `with` block."""

    def __init__(
        self,
        address: str,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        doing: str = "",
    ) -> None:
        """Ask. EngineFailed when the engine does not answer or refuses; `doing` says in words what then fails."""
        doing = doing or f"{method} {path}"
        try:
            self._socket = connect(address)
        except (OSError, ValueError) as error:
            raise silence(doing, address) from error
        close_with(self, self._socket.close)
        try:
            self._socket.settimeout(_PATIENCE)
            self._socket.sendall(_request(method, path, query or {}, body))
            status, self._rest = self._read_head()
            if status >= 300:
                raise EngineFailed(f"{doing}: {_explanation(self._rest + self._socket.recv(65536))}", status=status)
        except OSError as error:
            self.close()
            raise silence(doing, address) from error
        except EngineFailed:
            self.close()
            raise

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def pending(self) -> bool:
        """Whether something came with the head already: poll knows nothing of that."""
        return bool(self._rest)

    def read(self, timeout: float | None = None) -> bytes:
        """What has come; waits for something, `timeout` seconds at most (TimeoutError). Empty at the end."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(256 * 1024)
        except ConnectionError:
            return b""

    def send(self, data: bytes | memoryview, timeout: float) -> int:
        """To the other end; how much of it was taken within `timeout` seconds. BrokenPipeError when nobody takes it."""
        ready = select.poll()
        ready.register(self._socket, select.POLLOUT)
        if not ready.poll(1000 * timeout):
            return 0
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise BrokenPipeError from error

    def end_sending(self) -> None:
        """Nothing more is sent; what comes is still read."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def _read_head(self) -> tuple[int, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            new = self._socket.recv(65536)
            if not new or len(data) > _LONGEST_HEAD:
                raise ConnectionError("no answer")
            data += new
        head, _, rest = data.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), rest


class Frames:
    """Takes apart what a container wrote: the engine puts output and errors into one stream, in frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now, without their headers."""
        return [frame for _, frame in self.feed_apart(data)]

    def feed_apart(self, data: bytes) -> list[tuple[int, bytes]]:
        """The same, each with the stream it is of: 1 output, 2 errors."""
        data, start, found = self._rest + data, 0, []
        while len(data) - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, start)
            end = start + _HEADER.size + length
            if end > len(data):
                break
            found.append((kind, data[start + _HEADER.size : end]))
            start = end
        self._rest = data[start:]
        return found


def _request(method: str, path: str, query: Mapping[str, str | int], body: object) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = (
        f"{method} {path}?{urlencode(query)} HTTP/1.0",
        "Host: docker",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + content


def _explanation(body: bytes) -> str:
    try:
        return plain(str(json.loads(body)["message"]))
    except (ValueError, KeyError, TypeError):
        return plain(body.decode("utf-8", "replace")).strip() or "refused"
