"""Commands over SSH: words in, text and an exit status out, whatever happens between."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
import time
from contextlib import suppress

import paramiko
import pytest

from gitpaas.errors import GitpaasError, NotFound
from tests.integration.conftest import eventually

pytestmark = [pytest.mark.needs("ssh")]


def connect(door):
    client = paramiko.Transport(("127.0.0.1", door.server.port))
    client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(door.desk / "laptop")))
    return client


def session(client):
    """One more, as soon as there is room: one that has ended is given back a moment after its client knows."""
    opened = []

    def is_opened():
        with suppress(paramiko.ChannelException):
            opened.append(client.open_session())
        return opened

    eventually(is_opened)
    return opened[0]


def test_quotes_are_read_as_a_shell_would_and_nothing_is_expanded(open_door):
    seen = []
    door = open_door(lambda argv, actor, console: seen.append(list(argv)) or 0)

    door.ssh("config:set hello 'NAME=a b' \"X=$HOME\" *.txt `id` a\\;b").ok()

    assert seen == [["config:set", "hello", "NAME=a b", "X=$HOME", "*.txt", "`id`", "a;b"]]


def test_no_command_at_all_is_an_empty_one(open_door):
    seen = []
    door = open_door(lambda argv, actor, console: seen.append((list(argv), console.tty)) or 0)

    door.ssh().ok()

    assert seen == [([], False)]


def test_unbalanced_quotes_and_foreign_bytes_are_refused_in_words(door):
    assert "cannot be read" in door.ssh("apps 'oops").failed(2).err
    client = connect(door)
    channel = client.open_session()
    channel.exec_command(b"apps \xff\xfe")
    assert channel.recv_exit_status() == 2
    assert b"not UTF-8" in channel.recv_stderr(1000)
    client.close()


def test_the_exit_status_and_both_streams_arrive(open_door):
    def command(argv, actor, console):
        console.out("fine: ünï\n")
        console.err("and not\n")
        return 7

    done = open_door(command).ssh("x").failed(7)

    assert (done.out, done.err) == ("fine: ünï\n", "and not\n")


def test_an_error_of_ours_is_told_with_its_hint(open_door):
    def command(argv, actor, console):
        raise NotFound("There is no app 'x'.", "Did you mean y?")

    done = open_door(command).ssh("x").failed(1)

    assert done.err == " !     There is no app 'x'.\n !     Did you mean y?\n"


def test_a_bug_is_logged_with_its_traceback_and_told_in_one_line(open_door, caplog):
    def command(argv, actor, console):
        raise ZeroDivisionError("secret detail")

    door = open_door(command)
    done = door.ssh("x").failed(1)

    assert done.err == " !     Something went wrong on the server; its log has the details.\n"
    assert "secret detail" in caplog.text
    assert "Traceback" in caplog.text
    door.ssh("x").failed(1)


def test_standard_input_is_read_to_its_end(open_door):
    seen = []
    door = open_door(lambda argv, actor, console: seen.append(console.read()) or 0)

    door.ssh("keys:add new -", stdin=b"ssh-ed25519 AAAA\n" * 10_000).ok()

    assert seen == [b"ssh-ed25519 AAAA\n" * 10_000]


def test_half_of_standard_input_is_not_taken_for_all(open_door):
    ended = []

    def command(argv, actor, console):
        try:
            ended.append(console.read())
        except GitpaasError as error:
            ended.append(error.message)
        return 1

    client = connect(open_door(command))
    channel = client.open_session()
    channel.exec_command("registry:login ghcr.io ann")
    channel.sendall(b"half of the pass")
    client.close()

    eventually(lambda: ended)
    assert ended == ["The connection ended before all of the input was here. Nothing was changed."]


def test_a_large_output_arrives_whole(open_door):
    text = "".join(f"line {number}\n" for number in range(300_000))

    def command(argv, actor, console):
        console.out(text)
        return 0

    assert open_door(command).ssh("x").ok().out == text


def test_gone_as_soon_as_the_client_leaves(open_door):
    ended = threading.Event()

    def follow(argv, actor, console):
        console.out("following\n")
        while not console.gone():
            time.sleep(0.01)
        console.out("into the void\n")
        ended.set()
        return 0

    door = open_door(follow)
    client = subprocess.Popen([*door.ssh_argv(), "x@127.0.0.1", "logs -t"], stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"following\n"
    client.kill()
    client.communicate()

    assert ended.wait(60)


def test_gone_as_soon_as_nobody_takes_the_output(open_door):
    seen = threading.Event()

    def follow(argv, actor, console):
        while not console.gone():
            console.out("following\n")
            time.sleep(0.01)
        console.out("into the void\n")
        console.err("still here\n")
        seen.wait(60)  # ssh drops what comes together with the end
        return 5

    argv, pipe = [*open_door(follow).ssh_argv(), "x@127.0.0.1", "logs -t"], subprocess.PIPE
    with subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, stderr=pipe
    ) as client:  # without stdin it would close all of it
        assert client.stdout.readline() == b"following\n"
        client.stdout.close()
        assert client.stderr.readline() == b"still here\n"
        seen.set()
        assert client.wait(60) == 5


def test_the_end_of_standard_input_is_not_leaving(open_door):
    def follow(argv, actor, console):
        time.sleep(0.2)
        console.out(f"gone: {console.gone()}\n")
        return 0

    assert open_door(follow).ssh("logs -t", options=["-n"]).ok().out == "gone: False\n"


def test_a_terminal_gets_its_width_and_line_ends(open_door):
    def command(argv, actor, console):
        console.out(f"{console.tty} {console.width}\n")
        console.err("error\n")
        return 0

    door = open_door(command)
    client = connect(door)
    channel = client.open_session()
    channel.get_pty(width=132, height=50)
    channel.resize_pty(width=111)
    channel.exec_command("x")

    assert channel.makefile().read() == b"True 111\r\nerror\r\n"
    assert channel.recv_exit_status() == 0
    client.close()


def test_the_width_of_COLUMNS_without_a_terminal(open_door):  # noqa: N802
    def command(argv, actor, console):
        console.out(f"{console.tty} {console.width}\n")
        return 0

    assert open_door(command).ssh("x", options=["-oSetEnv=COLUMNS=200"]).ok().out == "False 200\n"


def test_ctrl_c_ends_a_session_with_a_terminal_at_once(open_door):
    ended = threading.Event()

    def follow(argv, actor, console):
        console.out("following\n")
        while not console.gone():
            time.sleep(0.01)
        ended.set()
        return 0

    door = open_door(follow)
    ours, theirs = pty.openpty()
    client = subprocess.Popen(
        [*door.ssh_argv("laptop", "-tt"), "x@127.0.0.1", "logs -t"], stdin=theirs, stdout=theirs, stderr=theirs
    )
    said = b""
    while b"following" not in said:
        said += os.read(ours, 1000)
    os.write(ours, b"\x03")

    assert client.wait(60) == 130
    assert ended.wait(60)
    os.close(ours)
    os.close(theirs)


def test_what_is_typed_at_a_terminal_is_shown_and_ends_with_ctrl_d(open_door):
    seen = []
    door = open_door(lambda argv, actor, console: seen.append(console.read()) or 0)
    client = connect(door)
    channel = client.open_session()
    channel.get_pty()
    channel.exec_command("keys:add new -")

    channel.sendall(b"ssh-ed25519 AAAA\r\x04")

    assert channel.recv_exit_status() == 0
    assert seen == [b"ssh-ed25519 AAAA\n"]
    assert channel.recv(1000) == b"ssh-ed25519 AAAA\r\n"
    client.close()


def test_eight_sessions_of_a_connection_at_the_same_time_and_no_more(open_door):
    go = threading.Event()
    door = open_door(lambda argv, actor, console: go.wait(100) and 0)
    client = connect(door)
    channels = [client.open_session() for _ in range(8)]
    for channel in channels:
        channel.exec_command("wait")

    with pytest.raises(paramiko.ChannelException):
        client.open_session()

    go.set()
    assert [channel.recv_exit_status() for channel in channels] == [0] * 8
    session(client)
    client.close()


def test_sessions_are_given_back_when_they_end(door):
    client = connect(door)

    for _ in range(30):
        channel = session(client)
        channel.exec_command("x")
        assert channel.recv_exit_status() == 0
        channel.close()
    client.close()


def test_a_channel_that_the_client_closes_unused_is_given_back(door):
    client = connect(door)

    for _ in range(30):
        session(client).close()
    client.close()


def test_nothing_but_sessions(door):
    client = connect(door)

    with pytest.raises(paramiko.ChannelException):
        client.open_channel("direct-tcpip", ("127.0.0.1", 80), ("127.0.0.1", 1))
    channel = client.open_session()
    with pytest.raises(paramiko.SSHException):
        channel.invoke_subsystem("sftp")
    with pytest.raises(paramiko.SSHException):
        client.request_port_forward("127.0.0.1", 0)
    client.close()


def test_a_request_that_comes_after_the_end_leaves_the_connection_alone(door):
    client = connect(door)
    channel = client.open_session()
    channel.get_pty()
    channel.exec_command("x")
    assert channel.recv_exit_status() == 0
    late = paramiko.Message()
    late.add_byte(b"\x62")
    late.add_int(channel.remote_chanid)
    late.add_string("window-change")
    late.add_boolean(False)
    for number in (100, 50, 0, 0):
        late.add_int(number)

    client._send_user_message(late)

    second = client.open_session()
    second.exec_command("y")
    assert second.recv_exit_status() == 0
    client.close()


def test_the_answer_to_a_request_is_never_overtaken_by_its_end(door):
    """OpenSSH complains about an answer for a channel that is closed already."""
    for _ in range(20):
        assert door.ssh("x").ok().err == ""
