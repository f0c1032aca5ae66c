"""A command that has the client's streams to itself: bytes, sizes, signals, and a client that is suddenly gone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_REQUEST
from paramiko.message import Message

from gitpaas.output import Console, Terminal
from gitpaas.values import Actor
from tests.integration.conftest import Door, eventually

pytestmark = [pytest.mark.needs("ssh")]


class Program:
    """What the server runs: it hands on all that comes, and ends when the test says so."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.over = threading.Event()

    def __call__(self, argv: Sequence[str], actor: Actor, console: Console) -> int:
        with console.streams() as streams:
            self.heard.put(streams.terminal)
            streams.listen(lambda *size: self.heard.put(size), lambda number: self.heard.put(number))
            streams.write(b"out\xff")
            streams.write(b"err\xfe", error=True)
            try:
                while not self.over.is_set():
                    data = streams.read(0.1)
                    if data is not None:
                        self.heard.put(data)
                    if data == b"":
                        return 5
            except ConnectionError as error:
                self.heard.put(type(error))
                raise
        return 6


def connect(door: Door) -> paramiko.Transport:
    client = paramiko.Transport(("127.0.0.1", door.server.port))
    client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(door.desk / "laptop")))
    return client


def heard(program: Program) -> Any:
    return program.heard.get(timeout=60)


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def client(open_door: Callable[..., Door], program: Program) -> Any:
    made = connect(open_door(program))
    yield made
    program.over.set()
    made.close()


def request(client: paramiko.Transport, channel: paramiko.Channel, kind: str, word: str) -> None:
    message = Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string(kind)
    message.add_boolean(False)
    message.add_string(word)
    client._send_user_message(message)


def test_bytes_go_both_ways_and_the_end_of_input_is_told(client: paramiko.Transport, program: Program) -> None:
    channel = client.open_session()
    channel.exec_command("x")
    assert heard(program) is None
    channel.sendall(b"\x00\x03\xff")
    assert heard(program) == b"\x00\x03\xff"
    channel.shutdown_write()
    assert heard(program) == b""
    assert channel.recv_exit_status() == 5
    assert (channel.recv(100), channel.recv_stderr(100)) == (b"out\xff", b"err\xfe")


def test_terminal_has_a_size_that_changes_and_ctrl_c_is_a_key(client: paramiko.Transport, program: Program) -> None:
    channel = client.open_session()
    channel.get_pty("xterm-kitty", 100, 30)
    channel.exec_command("x")
    assert heard(program) == Terminal("xterm-kitty", 100, 30)
    channel.sendall(b"\x03")
    assert heard(program) == b"\x03"
    channel.resize_pty(120, 40)
    assert heard(program) == (120, 40)
    channel.resize_pty(0, 0)
    assert heard(program) == (120, 40)
    program.over.set()
    assert channel.recv_exit_status() == 6


def test_foolish_terminals_are_made_plain(client: paramiko.Transport, program: Program) -> None:
    channel = client.open_session()
    channel.get_pty("../../etc\n", 4_000_000_000, 0)
    channel.exec_command("x")
    assert heard(program) == Terminal("dumb", 10_000, 24)


def test_signals_are_passed_on_by_name(client: paramiko.Transport, program: Program) -> None:
    channel = client.open_session()
    channel.exec_command("x")
    assert heard(program) is None
    for name in ("NONSENSE", "STOP", "TERM"):
        request(client, channel, "signal", name)
    assert heard(program) == 15
    program.over.set()
    assert channel.recv_exit_status() == 6


def test_client_that_is_gone_is_no_end_of_input(client: paramiko.Transport, program: Program) -> None:
    channel = client.open_session()
    channel.exec_command("x")
    assert heard(program) is None
    channel.sendall(b"half")
    assert heard(program) == b"half"
    client.sock.close()
    assert issubclass(heard(program), ConnectionError)


def test_writing_to_a_client_that_is_gone_ends(open_door: Callable[..., Door]) -> None:
    ended = threading.Event()

    def flood(argv: Sequence[str], actor: Actor, console: Console) -> int:
        try:
            with console.streams() as streams:
                while True:
                    streams.write(bytes(65536))
        except ConnectionError:
            ended.set()
            raise

    client = connect(open_door(flood))
    channel = client.open_session()
    channel.exec_command("x")
    assert channel.recv(10)
    assert not ended.wait(1)
    client.close()
    eventually(ended.is_set)


def test_server_that_stops_gives_its_commands_time_to_end(open_door: Callable[..., Door]) -> None:
    ended, began = threading.Event(), threading.Event()

    def tidy(argv: Sequence[str], actor: Actor, console: Console) -> int:
        began.set()
        while not console.gone():
            threading.Event().wait(0.05)
        threading.Event().wait(1)
        ended.set()
        return 0

    door = open_door(tidy)
    client = connect(door)
    client.open_session().exec_command("x")
    assert began.wait(60)
    door.server.stop()
    assert ended.is_set()
    client.close()
