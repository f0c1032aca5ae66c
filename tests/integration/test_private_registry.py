"""A registry that wants a password: what `registry:login` keeps opens it, and is seen nowhere else."""

from __future__ import annotations

import base64
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import dockerfiles
import engine
import pytest
from dockerfiles import Yard

from gitpaas.engine import registries
from gitpaas.errors import BuildFailed
from gitpaas.values import Secret

pytestmark = [pytest.mark.needs("root", "sandbox", "docker", "buildkit"), pytest.mark.timeout(900)]

USER, PASSWORD = "bob", "not-for-anybodys-eyes-4712"
PASSED_ON = ("Content-Type", "Content-Length", "Docker-Content-Digest", "Docker-Distribution-Api-Version")


class _Door(BaseHTTPRequestHandler):
    """The machine's registry, for who knows the password."""

    protocol_version = "HTTP/1.1"
    allowed = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def do_GET(self) -> None:
        if self.headers["Authorization"] != self.allowed:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="private"'}, b"")
            return
        asked = {"Accept": ", ".join(self.headers.get_all("Accept") or ["*/*"])}
        request = urllib.request.Request(f"http://{engine.REGISTRY}{self.path}", headers=asked, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=30) as found:
                self._answer(found.status, {k: found.headers[k] for k in PASSED_ON if k in found.headers}, found.read())
        except HTTPError as error:
            with error:
                self._answer(error.code, {}, error.read())

    do_HEAD = do_GET  # noqa: N815  (the library looks for it)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def private_registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with dockerfiles.yard(tmp_path_factory.mktemp("private") / "home") as made:
        yield made


def test_a_private_image_is_pulled_with_the_password_that_was_given(yard: Yard) -> None:
    with private_registry() as registry:
        yard = yard.again(INSECURE_REGISTRIES=f"{engine.REGISTRY},{registry}")
        text = f"FROM {registry}/library/debian:bookworm-slim\n"

        with pytest.raises(BuildFailed, match="may not be pulled") as refused:
            yard.build(text, app="private")
        assert "registry:login" in refused.value.hint

        registries.keep(yard.config, registry, USER, Secret("wrong"))
        with pytest.raises(BuildFailed, match="may not be pulled"):
            yard.build(text, app="private")

        registries.keep(yard.config, registry, USER, Secret(PASSWORD))
        built = yard.build(text + "RUN env > /env\n", app="private")
        assert PASSWORD not in built.text
        assert PASSWORD not in built.run("cat", "/env")
