"""Tools of the tests' own, and a server that hands out their archives over TLS."""

from __future__ import annotations

import hashlib
import io
import ssl
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pairs

from gitpaas.config import Config
from gitpaas.toolchain.pins import Archive, Binary, Go, Pins, Tool, this_platform

NO_GO = Go(least="1.21", version="1.21.0")  # without a wheel for any platform


def script(says: str) -> bytes:
    """A program that answers so to everything."""
    return f"#!/bin/sh\necho '{says}'\n".encode()


def put(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    path.write_bytes(script(says))
    path.chmod(0o755)
    return path


def hello(version: str = "1.0", archive: Archive | None = None) -> Tool:
    """A tool of two binaries, the second of which few archives bring."""
    binaries = {"hello": Binary("hello", f"hello {version}"), "extra": Binary("extra", optional=True)}
    return Tool("hello", version, binaries, {this_platform(): archive} if archive else {})


def pins(*tools: Tool, go: Go = NO_GO, module: Path = Path("/nonexistent")) -> Pins:
    """These tools, and a BuildKit that nobody can install."""
    known = {"buildkit": Tool("buildkit", "0", {"buildkitd": Binary("buildkitd")})}
    return Pins(known | {tool.name: tool for tool in tools}, go, module)


def packed(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A .tar.gz with these files and symbolic links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o6777
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return buffer.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Page:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None  # the length it claims to have
    gate: threading.Event | None = None  # half of the body is sent before this is set


@dataclass
class Site:
    """`pages` by path; `asked` remembers every request."""

    url: str
    certificate: Path
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def archive(self, name: str, content: bytes, page: Page | None = None) -> Archive:
        """Hand out the content, and the pin for it."""
        self.pages[f"/{name}"] = replace(page or Page(), body=content)
        return Archive(f"{self.url}/{name}", digest(content))

    def trusted_by(self, config: Config) -> Config:
        return replace(config, environ={**config.environ, "SSL_CERT_FILE": str(self.certificate)})


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "site.pem", folder / "site.key"
    pairs.write(certificate, key, "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is what some test
    site = Site(f"https://127.0.0.1:{server.server_port}", certificate)
    server.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.asked.append(self.path)
        page = site.pages.get(self.path, Page(status=404))
        self.send_response(page.status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page.body) if page.promised is None else page.promised))
        self.end_headers()
        half = len(page.body) // 2
        self.wfile.write(page.body[:half])
        if page.gate:
            self.wfile.flush()
            page.gate.wait(100)
        self.wfile.write(page.body[half:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return None
