"""The packet reader and the channel's buffer, without a network beyond a socket pair."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from paramiko.buffered_pipe import PipeTimeout
from paramiko.ssh_exception import SSHException

from gitpaas.ssh.transport import Packetizer, Pipe


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    ours.settimeout(0.1)
    with ours, theirs:
        yield Packetizer(ours), theirs


def test_a_greeting_ends_at_its_newline_and_the_rest_stays(ends):
    packetizer, peer = ends
    peer.sendall(b"SSH-2.0-x\r\nrest")

    assert packetizer.readline(60) == "SSH-2.0-x"
    assert packetizer.read_all(4) == b"rest"


def test_a_greeting_without_an_end_is_refused(ends):
    packetizer, peer = ends
    peer.sendall(b"A" * 2000)

    with pytest.raises(SSHException, match="too long"):
        packetizer.readline(60)


def test_pieces_that_dribble_in_are_put_together(ends):
    packetizer, peer = ends
    threading.Thread(target=lambda: [(peer.sendall(bytes([n])), time.sleep(0.01)) for n in range(20)]).start()

    assert packetizer.read_all(20) == bytes(range(20))


def test_more_than_the_buffer_is_read_whole(ends):
    packetizer, peer = ends
    packetizer.logged_in = True
    data = bytes(range(256)) * 900
    threading.Thread(target=peer.sendall, args=(data * 3,)).start()

    assert [packetizer.read_all(len(data)) for _ in range(3)] == [data] * 3


@pytest.mark.parametrize(("size", "logged_in"), [(36_001, False), (256 * 1024 + 1, True), (-1, True), (1 << 31, True)])
def test_a_packet_of_unreasonable_length_is_refused_before_it_is_read(ends, size, logged_in):
    packetizer, _ = ends
    packetizer.logged_in = logged_in

    with pytest.raises(SSHException, match="refused"):
        packetizer.read_all(size)


def test_the_end_of_the_connection_is_an_end_of_file(ends):
    packetizer, peer = ends
    peer.sendall(b"half")
    peer.close()

    with pytest.raises(EOFError):
        packetizer.read_all(8)


def test_a_pipe_gives_what_it_was_fed_in_order():
    pipe = Pipe(100)
    for chunk in (b"abc", b"defg", b"h"):
        pipe.feed(chunk)

    assert [pipe.read(2), pipe.read(4), pipe.read(100)] == [b"ab", b"cdef", b"gh"]
    assert not pipe.read_ready()


def test_a_pipe_waits_times_out_and_ends():
    pipe = Pipe(100)
    with pytest.raises(PipeTimeout):
        pipe.read(1, 0.01)
    threading.Timer(0.05, pipe.feed, [b"x"]).start()
    assert pipe.read(10) == b"x"

    pipe.feed(b"last")
    pipe.close()
    pipe.feed(b"too late")

    assert pipe.read(10) == b"last"
    assert pipe.read(10) == b""


def test_a_pipe_takes_no_more_than_its_limit():
    pipe = Pipe(10)
    pipe.feed(b"12345")

    with pytest.raises(SSHException, match="window"):
        pipe.feed(b"123456")


def test_an_interrupt_wakes_a_reader_until_it_is_taken_back():
    pipe = Pipe(10)
    threading.Timer(0.05, pipe.interrupt).start()
    assert pipe.read(10) == b""
    assert pipe.read(10) == b""

    pipe.interrupt(False)

    with pytest.raises(PipeTimeout):
        pipe.read(10, 0.01)
