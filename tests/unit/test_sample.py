"""Why the quickstart's sample app does not answer."""

from __future__ import annotations

import importlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from gitpaas.config import load

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("sample")


@pytest.fixture
def plain() -> Iterator[int]:
    """A port where nobody speaks TLS."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            caller, _ = door.accept()
            with caller:
                caller.recv(1024)
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield door.getsockname()[1]
        thread.join()


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


def place(port: int) -> SimpleNamespace:
    return SimpleNamespace(config=load({"GITPAAS_HTTPS_PORT": str(port)}))


def test_a_handshake_that_fails_is_a_matter_of_certificates(sample: ModuleType, plain: int) -> None:
    assert sample._lacks_certificate(place(plain))


def test_who_does_not_listen_lacks_none(sample: ModuleType, closed: int) -> None:
    assert not sample._lacks_certificate(place(closed))
    assert not sample._lacks_certificate(place(0))
