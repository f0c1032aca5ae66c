from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gitpaas import cron
from gitpaas.errors import RuntimeFailed
from gitpaas.linux import Cgroup
from gitpaas.names import PROVIDED
from gitpaas.runtimes.command import command, shell_line
from gitpaas.runtimes.environment import additions, environment
from gitpaas.runtimes.ports import free_port
from gitpaas.values import Artifact, InstanceSpec, Limits, Secret


def spec(**values: object) -> InstanceSpec:
    usual = {
        "app": "demo",
        "release": 3,
        "process": "web",
        "number": 2,
        "command": "serve --port $PORT",
        "artifact": Artifact("slug", "/slugs/demo/1", "slug", "", {}, {"PATH": "/app/bin", "MODE": "build"}),
        "env": {},
        "uid": None,
        "limits": Limits(files=9),
        "listens": True,
        "commit": "abc123",
        "url": "http://demo.localhost",
    }
    return InstanceSpec(**(usual | values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gunicorn app:app -b 0.0.0.0:$PORT", "exec gunicorn app:app -b 0.0.0.0:$PORT"),
        ("./start.sh >out", "exec ./start.sh >out"),
        ("sh -c 'a; b'", "sh -c 'a; b'"),
        ("migrate && serve", "migrate && serve"),
        ("MODE=x serve", "MODE=x serve"),
        ("cd web", "cd web"),
        ("exit 7", "exit 7"),
        ("if true\nthen x\nfi", "if true\nthen x\nfi"),
        ("$COMMAND", "$COMMAND"),
        ("", ""),
    ],
)
def test_only_a_single_program_replaces_the_shell(line: str, expected: str) -> None:
    assert shell_line(line) == expected


def test_unconfined_it_runs_in_its_slug() -> None:
    argv = command(spec(), None, Path("/scratch"), Path("/pid"), Path("/record"), ["session"])
    assert argv[6:] == [
        "session",
        *("started", "/pid", "/record", "chdir", "/slugs/demo/1"),
        *("limit", "CORE", "0", "limit", "NOFILE", "9"),
        *("--", "/bin/sh", "-c", "exec serve --port $PORT"),
    ]


def test_confined_it_joins_its_group_before_anything_is_known_of_it() -> None:
    group = Cgroup("v2", (Path("/group"),))
    argv = command(spec(uid=7), group, Path("/scratch"), Path("/pid"), Path("/record"))
    assert argv[6:13] == ["cgroup", "/group", "started", "/pid", "/record", "root", argv[12]]
    words = " ".join(argv)
    assert "overlay /slugs/demo/1 /scratch 7 /app" in words
    assert "enter 7 chdir /app limit CORE 0" in words


def test_config_vars_go_over_the_build_and_the_platform_over_both() -> None:
    made = environment(spec(env={"MODE": Secret("config"), "PORT": "1", "LANG": "C"}), "key", "/app", 20001)
    assert made == {
        "HOME": "/app",
        "PATH": "/app/bin",
        "USER": "app",
        "LANG": "C",
        "MODE": "config",
        "PORT": "20001",
        "GITPAAS_APP": "demo",
        "GITPAAS_RELEASE": "v3",
        "GITPAAS_PROCESS": "web.2",
        "GITPAAS_COMMIT": "abc123",
        "GITPAAS_URL": "http://demo.localhost",
        "GITPAAS_INSTANCE": "key",
    }


def test_what_the_platform_adds_is_what_is_told_of() -> None:
    without = spec(env={}, artifact=Artifact("slug", "/slugs/demo/1", "slug", "", {}))
    always = PROVIDED.keys() - {cron.NAME}
    assert additions(without, "key", 20001).keys() == always
    assert additions(without, "key", None).keys() == always - {"PORT"}


def test_a_port_that_is_taken_or_listened_on_is_not_given() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(RuntimeFailed, match="All ports") as caught:
            free_port((port, port), ())
        assert "GITPAAS_APP_PORTS" in str(caught.value.hint)
    assert free_port((port, port), ()) == port
    with pytest.raises(RuntimeFailed):
        free_port((port, port), (port,))
