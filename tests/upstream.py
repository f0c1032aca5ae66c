"""A small web app to route to: it answers with its version, and streams, sleeps, fails or receives when asked."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class App(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, version: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.version = version
        self.hits = self.accepted = 0  # requests and connections
        self.left = threading.Event()  # a reader of /sse went away
        self.go = threading.Event()  # /two_events may send the second one

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[Any, Any]:
        request = super().get_request()
        self.accepted += 1
        return request

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is none of our business."""


@contextmanager
def serving(version: str = "1") -> Iterator[App]:
    with App(version) as app:
        thread = threading.Thread(target=app.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield app
        finally:
            app.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60
    server: App

    def do_GET(self) -> None:
        self.server.hits += 1
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        route = getattr(self, f"_{url.path.strip('/')}", None) if url.path != "/" else self._version
        if route is None:
            self._answer(b"the app's own 404", 404)
        else:
            route(**asked)

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 (http.server calls them so)

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _version(self) -> None:
        self._read_body()
        self._answer(self.server.version.encode())

    def _status(self, code: str) -> None:
        self._answer(b"the app's own page", int(code))

    def _headers(self) -> None:
        self._answer(json.dumps({name.lower(): value for name, value in self.headers.items()}).encode())

    def _slow(self, seconds: str) -> None:
        time.sleep(float(seconds))
        self._version()

    def _upload(self) -> None:
        self._answer(str(self._read_body()).encode())

    def _download(self, size: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", size)
        self.end_headers()
        left, block = int(size), bytes(65536)
        while left:
            left -= self.wfile.write(block[:left])

    def _two_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: 0\n\n")
        self.wfile.flush()
        if self.server.go.wait(100):
            self.wfile.write(b"data: 1\n\n")

    def _sse(self, count: str = "1000000", pause: str = "0.1") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for number in range(int(count)):
                self.wfile.write(f"data: {self.server.version} {number}\n\n".encode())
                self.wfile.flush()
                time.sleep(float(pause))
        except OSError:
            self.server.left.set()

    def _read_body(self) -> int:
        """Bytes of the request's body, by length or in chunks, never held at once."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            return sum(iter(self._read_chunk, 0))
        length = left = int(self.headers.get("Content-Length") or 0)
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        return length

    def _read_chunk(self) -> int:
        size = int(self.rfile.readline(), 16)
        self.rfile.read(size)
        self.rfile.readline()
        return size

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


if __name__ == "__main__":
    # VERSION [PORT]: prints the address, then serves until it is killed.
    server = App(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(server.address, flush=True)
    server.serve_forever()
