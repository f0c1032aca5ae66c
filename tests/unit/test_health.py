"""One look at an instance, and the patience of a deploy, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from ports import free_port
from upstream import serving

from gitpaas import health
from gitpaas.errors import Unhealthy
from gitpaas.values import HealthCheck, Reach

PORT = HealthCheck(timeout=60)
BRIEFLY = HealthCheck(timeout=0.2)


def at(address: str) -> Callable[[], Reach]:
    return lambda: Reach(address)


def check(path: str, timeout: float = 60) -> HealthCheck:
    return HealthCheck(path=path, timeout=timeout)


@contextmanager
def saying(reply: bytes) -> Iterator[str]:
    """A server that says the same to everybody; the address it listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client, suppress(OSError):  # who has waited long enough leaves
                    client.recv(4096)
                    client.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def mute() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_open_port_is_enough_without_a_path() -> None:
    with serving() as app:
        result = health.wait_until_healthy(at(app.address), PORT, lambda: True)

    assert result.status is None
    assert app.hits == 0


@pytest.mark.parametrize("status", [200, 204, 301, 302, 399])
def test_statuses_from_200_to_399_are_healthy(status: int) -> None:
    with saying(b"HTTP/1.1 %d x\r\n\r\n" % status) as address:
        assert health.wait_until_healthy(at(address), check("/up"), lambda: True).status == status


@pytest.mark.parametrize("status", [199, 400, 401, 404, 500, 503])
def test_other_statuses_are_not_and_the_last_one_is_told(status: int) -> None:
    with saying(b"HTTP/1.1 %d x\r\n\r\n" % status) as address, pytest.raises(Unhealthy) as failed:
        health.wait_until_healthy(at(address), check("/up", timeout=2), lambda: True)

    assert failed.value.message == (f"GET /up on {address} (PORT) gave status {status} and nothing better within 2 s")
    assert "checks:set APP path=/up, or app.json" in str(failed.value.hint)


def test_nothing_listening_is_told_with_the_port_and_the_time() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unhealthy) as failed:
        health.wait_until_healthy(at(address), BRIEFLY, lambda: True)

    assert failed.value.message == f"Nothing answered on {address} (PORT) within 0.2 s: connection refused"
    assert "$PORT" in str(failed.value.hint)
    assert failed.value.step == "start"


def test_whoever_waits_long_is_told_once_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_QUIET", 0.0)
    told: list[str] = []
    with saying(b"HTTP/1.1 404 x\r\n\r\n") as address, pytest.raises(Unhealthy):
        health.wait_until_healthy(at(address), check("/up", timeout=3), lambda: True, tell=told.append)

    assert told == [f"GET /up: status 404 on {address} (PORT); it has 3 s"]


def test_one_that_listens_elsewhere_is_told_where_and_what_to_do() -> None:
    note = "it listens on 127.0.0.1:5000, not on PORT, which is 20017"
    told: list[str] = []
    with pytest.raises(Unhealthy) as failed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "_QUIET", 0.0)
        reach = Reach(f"127.0.0.1:{free_port()}", note=note)
        health.wait_until_healthy(lambda: reach, HealthCheck(timeout=3), lambda: True, tell=told.append)

    assert told == [f"{note}; it has 3 s"]
    assert failed.value.message == f"Nothing answered within 3 s: {note}"
    assert failed.value.hint == "The app must listen on the port in PORT, whatever number that is."


def test_an_app_that_ends_first_is_told_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(Unhealthy, match=r"ended .* before it answered"):
        health.wait_until_healthy(at(f"127.0.0.1:{free_port()}"), HealthCheck(timeout=200), lambda: False)

    assert time.monotonic() - began < 100


def test_an_app_that_takes_its_time_is_waited_for() -> None:
    port = free_port()
    opened: list[socket.socket] = []
    late = threading.Timer(0.4, lambda: opened.append(socket.create_server(("127.0.0.1", port))))
    began = time.monotonic()
    late.start()
    result = health.wait_until_healthy(at(f"127.0.0.1:{port}"), HealthCheck(timeout=60), lambda: True, began=began)
    late.join()
    opened[0].close()

    assert result.seconds >= 0.4


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9\r\n", "something that is not HTTP"),
        (b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n", "something that is not HTTP"),
        (b"HTTP/1.1\r\n", "something that is not HTTP"),
    ],
)
def test_what_is_not_http_is_told(reply: bytes, seen: str) -> None:
    with saying(reply) as address, pytest.raises(Unhealthy, match=seen):
        health.wait_until_healthy(at(address), check("/", timeout=2), lambda: True)


def test_an_app_that_accepts_and_says_nothing_does_not_hold_us_up() -> None:
    with mute() as address:
        assert not health.answers(Reach(address), check("/"), timeout=0.2)


def test_an_endless_body_does_not_hold_us_up() -> None:
    with serving() as app:
        assert health.answers(Reach(app.address), check("/sse"), timeout=3)
        assert health.answers(Reach(app.address), check("/download?size=500000000"), timeout=60)


def test_the_host_is_the_apps_own_when_given() -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                seen.append(client.recv(4096))
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert health.answers(
            Reach(f"127.0.0.1:{server.getsockname()[1]}"), check("/up?a=b"), timeout=60, host="demo.localhost"
        )
        thread.join()

    assert seen[0].startswith(b"GET /up?a=b HTTP/1.1\r\nHost: demo.localhost\r\n")


def test_one_look_at_nothing_is_no() -> None:
    assert not health.answers(Reach(f"127.0.0.1:{free_port()}"), BRIEFLY)
