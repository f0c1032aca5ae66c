"""What makes sense on the machine itself only: the server, and the unit that starts it."""

from __future__ import annotations

import configparser
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from callers import Answer, Caller

from gitpaas import daemon
from gitpaas.commands.service import unit
from gitpaas.config import Config
from gitpaas.daemon import DaemonStatus

RUNNING = DaemonStatus(True, 4242, "127.0.0.1:2222", "127.0.0.1:8080", 1.0, ("No cgroups here.",))
DOWN = DaemonStatus(False, None, None, None, None, ())


def parsed(text: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    return unit


def test_status_names_the_door_for_https(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "status", lambda _: replace(RUNNING, https="127.0.0.1:8443"))

    assert "HTTPS 127.0.0.1:8443" in operator("status").out.splitlines()
    assert operator("status", "--format", "json").json["https"] == "127.0.0.1:8443"


def test_status_of_a_running_server(operator: Caller, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "status", lambda _: RUNNING)

    answer = operator("status")
    assert answer.code == 0
    assert answer.out.splitlines()[1:] == [
        "SSH   127.0.0.1:2222",
        "HTTP  127.0.0.1:8080",
        f"State {config.home}",
        "Runs  apps as processes of this machine",
        " !     No cgroups here.",
    ]
    assert operator("status", "--format", "json").json == {
        "running": True,
        "pid": 4242,
        "ssh": "127.0.0.1:2222",
        "http": "127.0.0.1:8080",
        "https": None,
        "since": "1970-01-01T00:00:01.000Z",
        "home": str(config.home),
        "runtime": "host",
        "outdated": False,
        "missing": ["No cgroups here."],
    }


def test_status_without_a_server_fails(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "status", lambda _: DOWN)

    assert operator("status").code == 1
    assert operator("status", "--format", "json").json["running"] is False


def test_stop_says_what_it_stopped(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "stop", lambda _, apps=False: apps)

    assert operator("stop") == Answer(0, "No server was running.\n", "")
    assert operator("stop", "--apps") == Answer(0, "The server has stopped.\nThe apps have stopped too.\n", "")

    monkeypatch.setattr(daemon, "stop", lambda *_, **__: True)
    assert "Apps keep running" in operator("stop").out


def test_restart_is_one_hand_over(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "restart", lambda _: RUNNING)

    assert operator("restart").out.startswith("running, pid 4242")


def test_a_system_unit(config: Config) -> None:
    service = parsed(unit(config, is_root=True))["Service"]

    assert service["ExecStart"] == f'"{sys.executable}" -I -m gitpaas serve'
    assert (service["KillMode"], service["OOMPolicy"], service["NoNewPrivileges"]) == ("process", "continue", "yes")
    assert f'Environment="GITPAAS_HOME={config.home}"' in unit(config, is_root=True)
    assert parsed(unit(config, is_root=True))["Install"]["WantedBy"] == "multi-user.target"


def test_a_users_unit_asks_for_nothing_that_only_root_may(config: Config) -> None:
    text = unit(config, is_root=False)

    assert "ProtectSystem=full" not in text
    assert "enable-linger" in text
    assert parsed(text)["Install"]["WantedBy"] == "default.target"


def test_odd_characters_in_a_units_environment(config: Config) -> None:
    odd = replace(config, home=Path('/srv/a b"c%d\\e'), environ={"GITPAAS_BIND": "::1", "SECRET": "x"})

    text = unit(odd, is_root=True)
    assert 'Environment="GITPAAS_HOME=/srv/a b\\"c%%d\\\\e"' in text
    assert 'Environment="GITPAAS_BIND=::1"' in text
    assert "SECRET" not in text


def test_the_command_prints_the_unit(operator: Caller) -> None:
    answer = operator("service")

    assert answer.code == 0
    assert answer.out.startswith("# A systemd unit for gitpaas")
