"""Access over the wire: pushes and fetches with every role, and the end of what is open when it is taken back."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matrix
import paramiko
import pytest
from callers import Caller, quiet_platform

from gitpaas import commands, events, logs
from gitpaas.access import people
from gitpaas.config import Config
from gitpaas.ssh.server import SshServer
from gitpaas.ssh.session import Session
from gitpaas.store import App, Key
from gitpaas.values import Actor, Survey
from tests.integration.conftest import Door, Work, eventually

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh")]

OPERATOR = Actor("operator", "admin")


@pytest.fixture
def house(config: Config, tmp_path: Path) -> Iterator[Door]:
    """A server with the real commands and the app hello, to which the admin `laptop` has pushed the branch topic."""
    before = threading.active_count()
    platform = quiet_platform(replace(config, ssh_port=0))
    server = SshServer(platform, lambda argv, actor, console: commands.execute(platform, list(argv), actor, console))
    server.start()
    (tmp_path / "desk").mkdir()
    made = Door(platform.config, server, SimpleNamespace(platform=platform), platform.store, tmp_path / "desk")
    made.add_key("laptop")
    made.ssh("apps:create", "hello").ok()
    work = made.clone("work")
    work.commit()
    work.push("main:topic").ok()
    yield made
    server.stop()
    eventually(lambda: threading.active_count() <= before)
    platform.store.close()


def operator(house: Door, *argv: str) -> None:
    answer = Caller(house.apps.platform)(*argv)
    assert answer.code == 0, answer


def let_in(house: Door, column: matrix.Column, name: str = "other") -> Path:
    """A key with the role and the grants of that column."""
    private = house.add_key(name, column.role or "none")
    with house.store.transaction():
        for app, role in column.grants.items():
            people.grant(App.get(App.name == app), name, role, OPERATOR)
    return private


def told(house: Door, action: str) -> list[tuple[str | None, str, str, str]]:
    with house.store.session():
        return [(one.app, one.by, one.result, one.text) for one in events.latest(None) if one.action == action]


@pytest.mark.parametrize("column", matrix.COLUMNS, ids=lambda column: column.title)
def test_git_asks_for_its_role(house, column):
    let_in(house, column)
    work = Work(house, house.desk / "work", key="other")
    work.commit("two")
    url = house.url("new")

    codes = {
        "`git fetch`, `clone`, `archive --remote`": {
            work.git("fetch", "paas").code,
            work.git("clone", "-q", house.url(), str(house.desk / "clone")).code,
            work.git("archive", f"--remote={house.url()}", "topic", "-o", str(house.desk / "a.tar")).code,
        },
        "`git push`": {work.push("HEAD:refs/heads/topic").code},
        "`git push` of a new app": {work.git("push", url, "HEAD:refs/heads/topic").code},
    }

    let = {what: all(code == 0 for code in ended) for what, ended in codes.items()}
    assert let == {what: matrix.may(column, *need) for what, need in matrix.GIT.items()}
    assert all(len({code == 0 for code in ended}) == 1 for ended in codes.values()), codes
    with house.store.session():
        assert App.select().where(App.name == "new").exists() is let["`git push` of a new app"]


def test_git_tells_nobody_whether_an_app_is_there_that_they_may_not_see(house):
    operator(house, "apps:create", "mine")
    let_in(house, matrix.Column("of another", grants={"mine": "admin"}))
    work = Work(house, house.desk / "work", key="other")

    def answers(app: str) -> list[str]:
        done = [
            work.git("fetch", house.url(app)).failed(),
            work.git("push", house.url(app), "HEAD:refs/heads/topic").failed(),
            work.git("archive", f"--remote={house.url(app)}", "topic").failed(),
        ]
        return [f"{one.code} {one.out} {one.err}".replace(app, "APP") for one in done]

    assert answers("hello") == answers("never")
    assert "There is no app 'APP' that your key may see." in answers("hello")[0]


def test_refusals_are_events(house):
    let_in(house, matrix.Column("reader", grants={"hello": "read"}))
    work = Work(house, house.desk / "work", key="other")
    work.push("HEAD:refs/heads/topic").failed()
    work.push("HEAD:refs/heads/topic").failed()
    work.git("fetch", house.url("never")).failed()
    house.ssh("config:set", "hello", "A=1", key="other").failed(3)

    (push,) = [one for one in told(house, "push") if one[1] == "other"]
    assert push == ("hello", "other", "refused", "A push needs the role deploy for hello; you have read.")
    assert told(house, "fetch") == [("never", "other", "refused", "There is no app 'never' that your key may see.")]
    assert told(house, "config:set")[0][:3] == ("hello", "other", "refused")


def test_pushes_of_what_is_not_deployed_are_events(house):
    work = Work(house, house.desk / "work")
    head = work.commit("two")
    work.push("HEAD:refs/heads/topic", "HEAD:refs/tags/v1").ok()
    work.push("HEAD:refs/builds/9").failed()
    work.push(":topic").ok()

    assert told(house, "push")[1:] == [
        ("hello", "laptop", "ok", f"topic {head[:7]}, tags/v1 {head[:7]}"),
        ("hello", "laptop", "failed", "builds/9: deny updating a hidden ref"),
        ("hello", "laptop", "ok", "topic deleted"),
    ]


def test_who_does_not_get_in_is_an_event_once_a_minute(house):
    house.new_key("stranger")
    two = f"-oIdentityFile={house.desk / 'stranger'}"
    house.ssh("apps", options=[two]).ok()
    assert told(house, "login") == []

    house.ssh("apps", key="stranger").failed(255)
    house.ssh("apps", key="stranger").failed(255)

    eventually(lambda: told(house, "login"))
    ((app, by, result, text),) = told(house, "login")
    assert (app, by, result) == (None, "stranger", "refused")
    assert text.startswith("unknown key SHA256:")
    assert " stranger@127.0.0.1 login refused: unknown key SHA256:" in house.ssh("events").ok().out
    assert "login" not in Caller(house.apps.platform).over_ssh("read")("events").out


def follow(house: Door, key: str) -> subprocess.Popen[bytes]:
    """`logs -t` that has begun: the app's log has a line, and it was shown."""
    logs.platform_line(house.config, "hello", "here we are")
    logs.Collector(house.config, lambda: Survey(())).collect_once()
    client = subprocess.Popen(
        [*house.ssh_argv(key), "x@127.0.0.1", "logs", "hello", "-t"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert b"here we are" in client.stdout.readline()
    return client


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("keys:remove", "other"), "Your key has been removed from this server."),
        (("access:remove", "hello", "other"), "What you may do here has become less."),
        (("access:add", "hello", "other", "--role", "read"), "What you may do here has become less."),
    ],
)
def test_what_is_open_ends_when_it_is_taken_back(house, argv, says):
    let_in(house, matrix.Column("deployer", grants={"hello": "deploy"}))
    client, other = follow(house, "other"), follow(house, "laptop")

    operator(house, *argv)

    _, said = client.communicate(timeout=100)
    assert (client.returncode, says in said.decode()) == (3, True), said
    assert other.poll() is None
    other.kill()
    other.communicate()


def test_what_ends_by_being_told_so_has_not_the_last_word(house, monkeypatch):
    complain = Session._complain

    def slowly(session, reason):
        time.sleep(0.7)  # the command knows by now
        complain(session, reason)

    monkeypatch.setattr(Session, "_complain", slowly)
    house.add_key("other", "deploy")
    client = follow(house, "other")

    operator(house, "keys:set", "other", "--role", "read")

    _, said = client.communicate(timeout=100)
    assert (client.returncode, b"What you may do here has become less." in said) == (3, True), said


def test_a_role_for_all_apps_that_is_made_less_ends_it_too(house):
    house.add_key("other", "deploy")
    client = follow(house, "other")

    operator(house, "keys:set", "other", "--role", "read")

    assert client.wait(100) == 3
    client.communicate()


def test_more_access_and_the_end_of_an_app_end_nothing_else(house):
    operator(house, "apps:create", "mine")
    let_in(house, matrix.Column("reader", grants={"hello": "read", "mine": "admin"}))
    client = follow(house, "other")

    operator(house, "access:add", "hello", "other", "--role", "admin")
    operator(house, "apps:destroy", "mine", "--confirm", "mine")
    seen = house.server._watch._looks
    eventually(lambda: house.server._watch._looks > seen + 2)

    assert client.poll() is None
    client.kill()
    client.communicate()


def test_an_idle_connection_of_a_removed_key_is_closed(house):
    private = house.add_key("other")
    client = paramiko.Transport(("127.0.0.1", house.server.port))
    client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(private)))

    operator(house, "keys:remove", "other")

    eventually(lambda: not client.is_active())
    client.close()


def test_a_push_that_is_being_received_is_cut(house):
    private = house.add_key("other", "deploy")
    client = paramiko.Transport(("127.0.0.1", house.server.port))
    client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(private)))
    channel = client.open_session()
    channel.exec_command("git-receive-pack 'hello'")
    shown = b""
    while b"report-status" not in shown:
        piece = channel.recv(10_000)
        assert piece, shown
        shown += piece
    line = f"{'0' * 40} {'1' * 40} refs/heads/evil\0report-status side-band-64k".encode()
    channel.sendall(f"{len(line) + 4:04x}".encode() + line + b"0000PACK\0\0\0\2\0\0\0\7")
    eventually(lambda: house.leftovers())  # its quarantine

    operator(house, "keys:remove", "other")

    eventually(lambda: not client.is_active())
    eventually(lambda: not house.leftovers())
    assert house.ref("refs/heads/evil") is None
    client.close()


def test_a_deploy_that_has_begun_goes_on(open_door, tmp_path):
    door = open_door()
    go = tmp_path / "go"
    door.apps.hook = f"while [ ! -e {go} ]; do sleep 0.05; done; {door.apps.hook}"
    door.add_key("other", "deploy")
    work = door.clone()
    work.key = "other"
    head = work.commit()
    client = subprocess.Popen(
        ["git", "push", "paas", "main"], cwd=work.path, env=door.git_env("other"), stderr=subprocess.PIPE
    )
    eventually(lambda: (door.apps.record / "env").exists())

    with door.store.session():
        Key.delete().where(Key.name == "other").execute()

    _, said = client.communicate(timeout=100)
    assert client.returncode != 0
    assert b"Your key has been removed" in said
    go.touch()
    eventually(lambda: door.ref("refs/heads/main") == head)
