"""Caddy as a process: ready, back when it dies, taken over by the next server, refused when the port is taken."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from instances import until
from ports import free_port
from routing import Routing, routing, settings
from upstream import serving

from gitpaas.errors import Conflict, RouterFailed
from gitpaas.router import command, process
from gitpaas.router.caddy import CaddyRouter
from gitpaas.router.process import CaddyProcess


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def kill_and_revive(paas: Routing) -> None:
    before = paas.caddy.pid()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    while paas.caddy.pid() in (before, None):
        paas.caddy.check()
        time.sleep(0.05)


def test_a_killed_caddy_is_back_with_all_routes(home: Path) -> None:
    with routing(home) as paas, serving() as app:
        paas.router.point("demo.localhost", [app.address])
        paas.router.show("empty.localhost", "empty")
        kill_and_revive(paas)

        assert paas.get("demo.localhost").body == b"1"
        assert b"No release yet" in paas.get("empty.localhost").body


def test_it_is_ended_though_somebody_deleted_its_lock(home: Path) -> None:
    # given a running server whose state directory somebody cleans up beneath it
    with routing(home) as paas:
        before = paas.caddy.pid()
        assert before is not None
        (home / "locks" / "caddy").unlink()

        # when the server ends
        paas.caddy.stop()

        # then Caddy does too, and nobody waits for ever
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)


def test_a_check_of_a_running_one_changes_nothing(home: Path) -> None:
    with routing(home) as paas:
        before = paas.caddy.pid()
        paas.caddy.check()
        paas.caddy.start()

        assert paas.caddy.pid() == before


def test_it_outlives_a_server_that_is_killed_and_the_next_one_takes_it_over(home: Path) -> None:
    config = settings(home)
    program = (
        "import os, signal\n"
        "from gitpaas.config import load; from gitpaas.router.process import CaddyProcess\n"
        "CaddyProcess(load()).start(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    server = subprocess.run([sys.executable, "-c", program], env=dict(config.environ), check=False)
    assert server.returncode == -signal.SIGKILL

    caddy = CaddyProcess(config)
    left = caddy.pid()
    try:
        with serving() as app:
            CaddyRouter(config.routes).point("demo.localhost", [app.address])
            kept = Routing(config, caddy, CaddyRouter(config.routes)).connect()
            for turn in (caddy.start, caddy.check):
                turn()
                kept.request("GET", "/", headers={"Host": "demo.localhost"})
                assert kept.getresponse().read() == b"1"
            tcp = kept.sock
            kept.close()
        assert tcp is not None
        assert left is not None
        assert caddy.pid() == left
    finally:
        caddy.stop()
    assert listeners(config.http_port) == []


def test_a_changed_caddyfile_is_loaded_and_open_streams_stay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with routing(home) as paas, serving() as app:
        paas.router.point("demo.localhost", [app.address])
        stream = paas.connect()
        stream.request("GET", "/sse", headers={"Host": "demo.localhost"})
        events = stream.getresponse()
        events.readline()
        before = paas.caddy.pid()
        changed = home / "Caddyfile"
        changed.write_text(command.shipped("Caddyfile").read_text().replace("No such app", "Never heard of it"))
        monkeypatch.setattr(command, "shipped", lambda _: changed)
        CaddyProcess(paas.config).start()

        assert paas.caddy.pid() == before
        assert b"Never heard of it" in paas.get("nobody.localhost").body
        time.sleep(1)
        assert events.readline().startswith((b"data", b"\n"))
        stream.close()
        events.close()


def test_another_port_in_the_settings_is_taken_up(home: Path) -> None:
    with routing(home) as paas:
        old, new = paas.config.http_port, free_port()
        config = settings(home, http_port=new)
        CaddyProcess(config).start()

        assert Routing(config, paas.caddy, paas.router).get("nobody.localhost").status == 404
        until(lambda: listeners(old) == [])  # Caddy lets go of it a moment later


def test_one_that_does_not_answer_is_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_RELOAD", 0.5)
    monkeypatch.setattr(process, "_GOODBYE", 0.5)
    with routing(home) as paas:
        hung = paas.caddy.pid()
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        paas.caddy.start()

        assert paas.caddy.pid() not in (hung, None)
        assert paas.get("nobody.localhost").status == 404


def test_an_older_program_is_replaced_by_todays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with routing(home) as paas:
        before = paas.caddy.pid()
        monkeypatch.setattr(process.sockets, "executable", lambda _: "/old/caddy (deleted)")
        paas.caddy.start()

        assert paas.caddy.pid() not in (before, None)


def test_two_never_run_on_one_state_directory(home: Path) -> None:
    config = settings(home)
    program = "import gitpaas.config as c, gitpaas.router.process as p; p.CaddyProcess(c.load()).check()"
    starters = [subprocess.Popen([sys.executable, "-c", program], env=dict(config.environ)) for _ in range(4)]
    assert [starter.wait(100) for starter in starters] == [0] * 4
    caddy = CaddyProcess(config)
    try:
        assert len(listeners(config.http_port)) == 1
    finally:
        caddy.stop()


@pytest.mark.parametrize("options", [[], [socket.SO_REUSEPORT], [socket.SO_REUSEADDR, socket.SO_REUSEPORT]])
@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_refused_with_who_has_it(home: Path, options: list[int], bind: str) -> None:
    config = settings(home)
    with socket.socket() as squatter:
        for option in options:
            squatter.setsockopt(socket.SOL_SOCKET, option, 1)
        squatter.bind((bind, config.http_port))
        squatter.listen()
        with pytest.raises(Conflict) as failed:
            CaddyProcess(config).start()

    name = Path("/proc/self/comm").read_text().strip()
    assert failed.value.message == f"127.0.0.1:{config.http_port} is taken by {name} (pid {os.getpid()})"
    assert "GITPAAS_HTTP_PORT" in str(failed.value.hint)
    assert CaddyProcess(config).pid() is None


def test_connections_that_just_ended_do_not_take_the_port(home: Path) -> None:
    with routing(home) as paas:
        for _ in range(50):
            paas.get("nobody.localhost", Connection="close")  # Caddy closes first: its end lingers in TIME_WAIT
        kill_and_revive(paas)

        assert paas.get("nobody.localhost").status == 404


@pytest.mark.parametrize(("bind", "told"), [("192.0.2.1", "Cannot listen"), ("no.such.host.invalid", "not an address")])
def test_an_address_that_is_not_ours_is_refused(home: Path, bind: str, told: str) -> None:
    with pytest.raises(Conflict, match=told):
        CaddyProcess(settings(home, bind=bind)).start()


def test_a_caddyfile_that_caddy_refuses_is_told(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text("rubbish {{{\n")
    monkeypatch.setattr(command, "shipped", lambda _: tmp_path / "Caddyfile")
    config = settings(home)

    with pytest.raises(RouterFailed, match=r"Caddy does not start: .*curly brace") as failed:
        CaddyProcess(config).start()
    assert str(config.caddy) in str(failed.value.hint)
    assert CaddyProcess(config).pid() is None


def test_a_caddy_that_cannot_listen_for_its_admin_is_told(home: Path) -> None:
    config = settings(home)
    (config.caddy / "admin.sock" / "x").mkdir(parents=True)

    with pytest.raises(RouterFailed, match=r"Caddy does not start: .*administration endpoint"):
        CaddyProcess(config).start()


def test_it_ends_at_once_though_streams_are_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_GOODBYE", 200)
    with routing(home) as paas, serving() as app:
        paas.router.point("demo.localhost", [app.address])
        stream = paas.connect()
        stream.request("GET", "/sse", headers={"Host": "demo.localhost"})
        events = stream.getresponse()
        events.readline()
        began = time.monotonic()
        paas.caddy.stop()

        assert time.monotonic() - began < 100
        stream.close()
        events.close()
        paas.caddy.stop()  # a second time is fine


def test_it_gets_nothing_of_our_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITPAAS_SECRET", "s3cret")
    with routing(home) as paas:
        environment = Path(f"/proc/{paas.caddy.pid()}/environ").read_text()

    assert "s3cret" not in environment
    assert environment.count("\0") < 30


def test_listening_on_every_address(home: Path) -> None:
    with routing(home, bind="0.0.0.0") as paas:
        assert paas.get("nobody.localhost").status == 404


def listeners(port: int) -> list[str]:
    tables = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    return [line for line in tables.splitlines() if f":{port:04X} " in line and " 0A " in line]
