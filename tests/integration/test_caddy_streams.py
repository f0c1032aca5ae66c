"""What is open when an app is switched stays open; what is large passes through."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from routing import Routing, read, routing
from upstream import serving
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

MB = 1024 * 1024


@pytest.fixture(scope="module")
def paas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routing]:
    with routing(tmp_path_factory.mktemp("streams") / "home") as running:
        yield running


def until(condition: object, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.02)
    return bool(condition())  # type: ignore[operator]


def test_a_slow_request_a_stream_and_a_keep_alive_survive_a_switch(paas: Routing) -> None:
    with serving("1") as old, serving("2") as new, ThreadPoolExecutor() as pool:
        paas.router.point("open.localhost", [old.address])
        slow = pool.submit(paas.get, "open.localhost", "/slow?seconds=3")
        assert until(lambda: old.hits == 1)
        stream = paas.connect()
        stream.request("GET", "/sse", headers={"Host": "open.localhost"})
        events = stream.getresponse()
        events.readline()
        kept = paas.connect()
        kept.request("GET", "/", headers={"Host": "open.localhost"})
        assert read(kept).body == b"1"
        tcp = kept.sock

        paas.router.point("open.localhost", [new.address])
        switched = time.monotonic()
        kept.request("GET", "/", headers={"Host": "open.localhost"})
        assert read(kept).body == b"2"
        assert kept.sock is tcp
        while time.monotonic() < switched + 2.5:
            assert events.readline().startswith((b"data: 1 ", b"\n"))
        answer = slow.result()
        assert (answer.status, answer.body) == (200, b"1")

        assert paas.router.connections(old.address) >= 1
        stream.close()
        events.close()
        kept.close()
        assert old.left.wait(60)  # a reader that leaves is told to the app
        assert until(lambda: paas.router.connections(old.address) == 0)


def test_a_websocket_survives_a_switch_and_new_ones_reach_the_new_instance(paas: Routing) -> None:
    def echo(version: str, client: ServerConnection) -> None:
        for message in client:
            client.send(f"{version} {message!s}")

    with (
        serve(lambda client: echo("1", client), "127.0.0.1", 0) as old,
        serve(lambda client: echo("2", client), "127.0.0.1", 0) as new,
    ):
        addresses = [f"127.0.0.1:{server.socket.getsockname()[1]}" for server in (old, new)]
        threads = [threading.Thread(target=server.serve_forever) for server in (old, new)]
        for thread in threads:
            thread.start()
        paas.router.point("ws.localhost", addresses[:1])
        with open_websocket(paas, "ws.localhost") as first:
            first.send("hello")
            assert first.recv(60) == "1 hello"

            paas.router.point("ws.localhost", addresses[1:])
            with open_websocket(paas, "ws.localhost") as second:
                second.send("hello")
                assert second.recv(60) == "2 hello"
            time.sleep(2.5)  # longer than an idle connection to an instance is kept
            first.send("still here")
            assert first.recv(60) == "1 still here"
            assert paas.router.connections(addresses[0]) == 1
        assert until(lambda: paas.router.connections(addresses[0]) == 0)
        for server, thread in zip((old, new), threads, strict=True):
            server.shutdown()
            thread.join()


def test_events_arrive_one_by_one(paas: Routing) -> None:
    with serving() as app:
        paas.router.point("sse.localhost", [app.address])
        connection = paas.connect()
        connection.request("GET", "/two_events", headers={"Host": "sse.localhost"})
        response = connection.getresponse()
        assert response.readline() == b"data: 0\n"
        app.go.set()  # the second one is sent only because the first one is here
        assert response.read() == b"\ndata: 1\n\n"
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_is_streamed(paas: Routing, chunked: bool) -> None:
    block = bytes(MB)
    with serving() as app:
        paas.router.point("up.localhost", [app.address])
        before = memory(paas)
        headers = {} if chunked else {"Content-Length": str(200 * MB)}
        answer = paas.ask("up.localhost", "/upload", "POST", iter([block] * 200), headers)

    assert (answer.status, answer.body) == (200, str(200 * MB).encode())
    assert memory(paas) - before < 50 * MB


def test_a_large_download_is_streamed_at_the_readers_pace(paas: Routing) -> None:
    with serving() as app:
        paas.router.point("down.localhost", [app.address])
        before = memory(paas)
        connection = paas.connect()
        connection.request("GET", f"/download?size={200 * MB}", headers={"Host": "down.localhost"})
        response = connection.getresponse()
        time.sleep(0.5)  # the app could have sent it all by now
        size = sum(len(data) for data in iter(lambda: response.read(MB), b""))
        connection.close()

    assert size == 200 * MB
    assert memory(paas) - before < 50 * MB


def test_an_upload_that_is_cut_reaches_the_app_as_cut(paas: Routing) -> None:
    with serving() as app:
        paas.router.point("cut.localhost", [app.address])
        connection = paas.connect()
        connection.putrequest("POST", "/upload", skip_host=True)
        connection.putheader("Host", "cut.localhost")
        connection.putheader("Content-Length", "1000000")
        connection.endheaders(b"only the start")
        assert until(lambda: paas.router.connections(app.address) == 1)
        connection.close()

        assert until(lambda: paas.router.connections(app.address) == 0)


@pytest.mark.needs("curl")
def test_http2_without_tls(paas: Routing) -> None:
    from gitpaas import shell

    with serving("over two") as app:
        paas.router.point("two.localhost", [app.address])
        argv = [
            "curl",
            "-sS",
            "--http2-prior-knowledge",
            "-w",
            " %{http_version} %{http_code}",
            "-H",
            "Host: two.localhost",
        ]
        prior = shell.capture([*argv, f"http://127.0.0.1:{paas.config.http_port}/"])
        argv[2] = "--http2"
        upgraded = shell.capture([*argv, f"http://127.0.0.1:{paas.config.http_port}/"])

    assert prior == b"over two 2 200"
    assert upgraded.startswith(b"over two ")
    assert upgraded.endswith(b" 200")


def test_twenty_requests_on_one_connection_use_few_upstream_connections(paas: Routing) -> None:
    with serving() as app:
        paas.router.point("reuse.localhost", [app.address])
        connection = paas.connect()
        for _ in range(20):
            connection.request("GET", "/", headers={"Host": "reuse.localhost"})
            assert read(connection).status == 200
        assert 1 <= app.accepted < 5  # one, but for a moment in which this machine did something else
        connection.close()


def test_a_header_that_never_ends_is_cut_off_at_its_limit(paas: Routing) -> None:
    answer = paas.raw(b"GET / HTTP/1.1\r\nHost: big.localhost\r\nX-Big: " + b"x" * 2 * MB + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 431 ")


def open_websocket(paas: Routing, host: str) -> ClientConnection:
    return connect(f"ws://{host}/", sock=socket.create_connection(paas.address), proxy=None, open_timeout=60)


def memory(paas: Routing) -> int:
    """Anonymous memory of Caddy, in bytes."""
    status = Path(f"/proc/{paas.caddy.pid()}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))
