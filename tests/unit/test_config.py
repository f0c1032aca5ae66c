"""Settings: from a variable, else gitpaas.toml, else the default; nonsense is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitpaas.config import load, settings
from gitpaas.errors import BadConfig


def test_defaults(tmp_path: Path) -> None:
    config = load({"GITPAAS_HOME": str(tmp_path)})
    assert (config.bind, config.ssh_port, config.http_port, config.base_domain) == (
        "127.0.0.1",
        2222,
        8080,
        "localhost",
    )
    assert config.instance_memory == 512 * 1024**2
    assert config.url("hello") == "http://hello.localhost:8080"


def test_the_file_is_read_and_a_variable_wins_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.config._SYSTEM_CERTIFICATES", tmp_path / "none")
    (tmp_path / "gitpaas.toml").write_text('ssh_port = 2300\nhttp_port = 80\nbuild_env = ["FOO", "BAR"]\n')
    config = load({"GITPAAS_HOME": str(tmp_path), "GITPAAS_SSH_PORT": "2400", "FOO": "1", "BAR": "2", "BAZ": "3"})
    assert (config.ssh_port, config.http_port) == (2400, 80)
    assert config.build_environment() == {"FOO": "1", "BAR": "2"}
    assert config.url("hello") == "http://hello.localhost"


def test_builds_trust_whom_the_machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.config._SYSTEM_CERTIFICATES", tmp_path)
    environ = {"GITPAAS_HOME": str(tmp_path)}

    assert load(environ).build_environment() == {"UV_SYSTEM_CERTS": "true"}
    assert load(environ | {"UV_SYSTEM_CERTS": "0"}).build_environment() == {"UV_SYSTEM_CERTS": "0"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSH_PORT", "many"),
        ("INSTANCE_MEMORY", "-1m"),
        ("CREATE_ON_PUSH", "perhaps"),
        ("APP_PORTS", "30000-20000"),
        ("RUNTIME", "cloud"),
        ("BASE_DOMAIN", "../etc"),
    ],
)
def test_nonsense_is_refused_and_named(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(BadConfig, match=f"GITPAAS_{variable}"):
        load({"GITPAAS_HOME": str(tmp_path), f"GITPAAS_{variable}": value})


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gitpaas.toml").write_text("sshport = 1\n")
    with pytest.raises(BadConfig, match="sshport") as caught:
        load({"GITPAAS_HOME": str(tmp_path)})
    assert caught.value.hint == "Did you mean ssh_port?"
    (tmp_path / "gitpaas.toml").write_text("colour = 'blue'\n")
    with pytest.raises(BadConfig, match="colour") as caught:
        load({"GITPAAS_HOME": str(tmp_path)})
    assert str(caught.value.hint).startswith("There are: bind, ssh_port, ")


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gitpaas.toml").write_text("= nonsense")
    with pytest.raises(BadConfig, match=r"gitpaas\.toml"):
        load({"GITPAAS_HOME": str(tmp_path)})


def test_every_setting_has_a_sentence() -> None:
    assert all(setting.doc.endswith(".") and setting.variable.startswith("GITPAAS_") for setting in settings())
