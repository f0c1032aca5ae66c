"""Clients that dawdle, flood, send rubbish or die: the server and everybody else never notice."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import suppress

import paramiko
import pytest

from gitpaas.ssh import lobby
from tests.integration.conftest import eventually

pytestmark = [pytest.mark.needs("ssh")]


def dial(door):
    return socket.create_connection(("127.0.0.1", door.server.port), timeout=30)


def is_cut_off(sock):
    """Whether the server has hung up, without waiting for it."""
    sock.setblocking(False)
    try:
        while sock.recv(1000):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def test_two_hundred_connections_that_never_log_in_keep_nobody_out(open_door):
    door = open_door(login_grace=600, max_logins=16)
    before = threading.active_count()
    idle = [dial(door) for _ in range(200)]

    assert door.ssh("apps").ok().out == "apps for laptop (admin)\n"

    eventually(lambda: sum(map(is_cut_off, idle)) >= 200 - 16)
    eventually(lambda: threading.active_count() <= before + 16)
    assert not is_cut_off(idle[-1])
    for sock in idle:
        sock.close()


def test_who_has_too_many_connections_open_is_told_and_keeps_nobody_else_out(open_door, monkeypatch):
    monkeypatch.setattr(lobby, "MOST_OF_ONE", 2)
    door = open_door()
    mine = []
    for _ in range(2):
        client = paramiko.Transport(("127.0.0.1", door.server.port))
        client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(door.desk / "laptop")))
        mine.append(client)

    one_more = door.ssh("apps")

    assert one_more.code != 0
    assert "connections open here already" in one_more.err
    mine.pop().close()
    eventually(lambda: door.ssh("apps").code == 0)
    mine.pop().close()


def test_a_flood_from_one_address_does_not_push_out_another_one(open_door):
    door = open_door(login_grace=600, max_logins=4)
    other = socket.create_connection(("127.0.0.1", door.server.port), source_address=("127.0.0.2", 0))
    time.sleep(0.1)

    flood = [dial(door) for _ in range(20)]

    eventually(lambda: sum(map(is_cut_off, flood)) >= 17)
    assert not is_cut_off(other)
    for sock in [*flood, other]:
        sock.close()


def test_who_has_not_logged_in_within_the_grace_time_is_cut_off(open_door):
    door = open_door(login_grace=1)
    sock = dial(door)
    sock.sendall(b"SSH-2.0-slow\r\n")

    eventually(lambda: is_cut_off(sock))
    sock.close()


def test_who_has_logged_in_is_left_alone_by_the_grace_time(open_door):
    door = open_door(login_grace=60)
    client = paramiko.Transport(("127.0.0.1", door.server.port))
    client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(door.desk / "laptop")))

    door.server._lobby._grace = 0
    time.sleep(2)  # everybody's is over by now

    channel = client.open_session()
    channel.exec_command("still here")
    assert channel.recv(100) == b"still here for laptop (admin)\n"
    client.close()


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200, id="http"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="tls"),
        pytest.param(b"A" * 1_000_000, id="a greeting without an end"),
        pytest.param(b"SSH-2.0-x\r\n" + os.urandom(100_000), id="random packets"),
        pytest.param(b"SSH-2.0-x\r\n" + struct.pack(">I", 0xFFFFFFF0) + bytes(100), id="a packet of 4 GB"),
        pytest.param(b"SSH-2.0-x\r\n" + struct.pack(">I", 200_000) + bytes(200), id="a large packet before login"),
        pytest.param(b"SSH-2.0-x\r\n" + struct.pack(">IB", 12, 255) + bytes(20), id="more padding than packet"),
        pytest.param(b"SSH-1.5-x\r\n", id="version 1"),
        pytest.param(b"\xff\xfe\x00\r\n" * 50, id="bytes that are no text"),
    ],
)
def test_rubbish_is_cut_off_and_harms_nobody(open_door, rubbish):
    door = open_door(login_grace=1)
    sock = dial(door)
    with suppress(OSError):
        sock.sendall(rubbish)

    eventually(lambda: is_cut_off(sock))
    door.server._lobby._grace = 60  # for a client on a busy machine
    door.ssh("apps").ok()
    sock.close()


def test_a_client_that_sends_more_than_its_window_is_cut_off(open_door):
    go = threading.Event()
    door = open_door(lambda argv, actor, console: go.wait(100) and 0)
    client = paramiko.Transport(("127.0.0.1", door.server.port))
    client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(door.desk / "laptop")))
    channel = client.open_session()
    channel.exec_command("x")
    channel.out_window_size = 1 << 30

    with pytest.raises((OSError, EOFError)):
        for _ in range(1000):
            channel.sendall(bytes(30_000))

    go.set()
    client.close()
    door.ssh("apps").ok()


def test_stop_cuts_everybody_off_and_the_port_is_free(open_door):
    door = open_door()
    client = paramiko.Transport(("127.0.0.1", door.server.port))
    client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(door.desk / "laptop")))

    begin = time.monotonic()
    door.server.stop()

    assert time.monotonic() - begin < 60
    eventually(lambda: not client.is_active())
    with pytest.raises(OSError):
        dial(door)
    client.close()


def test_a_taken_port_is_said_in_words(open_door, config):
    from gitpaas.errors import Conflict
    from gitpaas.ssh.server import _listen

    door = open_door()

    with pytest.raises(Conflict, match="is taken"):
        _listen("127.0.0.1", door.server.port)
