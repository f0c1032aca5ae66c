"""What /proc says about sockets and processes, compared with sockets of our own."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from gitpaas.linux import sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")


def test_each_connection_is_counted_once_though_both_ends_are_here() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert sockets.connections(address) == 0
        clients = [stack.enter_context(socket.create_connection(server.getsockname())) for _ in range(3)]
        ends = [stack.enter_context(server.accept()[0]) for _ in range(3)]
        assert sockets.connections(address) == 3

        clients[0].close()
        ends[0].close()
        assert sockets.connections(address) == 2


def test_an_app_that_listens_on_ipv6_and_ipv4_at_once_is_counted_by_its_ipv4_address() -> None:
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1])),
    ):
        assert sockets.connections(f"127.0.0.1:{server.getsockname()[1]}") == 1


def test_ipv6() -> None:
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as server,
        socket.create_connection(server.getsockname()[:2]),
    ):
        assert sockets.connections(f"[::1]:{server.getsockname()[1]}") == 1


def test_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        holder = sockets.listener(port)

    assert holder == sockets.Holder(os.getpid(), Path("/proc/self/comm").read_text().strip())
    assert sockets.listener(port) is None


def test_the_users_who_listen_at_any_address_of_a_port() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        assert sockets.listening_users(server.getsockname()[1]) == {os.getuid()}
        port = server.getsockname()[1]
    assert sockets.listening_users(port) == set()


def test_files_and_program_of_a_process(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w"):
        assert str(tmp_path / "open") in sockets.open_files(os.getpid())
    assert sockets.executable(os.getpid()) == str(Path(sys.executable).resolve())
    assert (sockets.open_files(2**30), sockets.executable(2**30)) == (set(), None)
