"""registry: private registries that builds pull from; their passwords go in and never come out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from callers import Answer, Caller

from gitpaas.config import Config


def kept(config: Config) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((config.registry_credentials / "config.json").read_text())
    return document


def test_login_is_written_as_dockers_programs_read_it(admin: Caller, config: Config) -> None:
    answer = admin("registry:login", "ghcr.io", "alice", stdin=b"s3cr:et\n")

    assert answer.code == 0
    assert "s3cr" not in answer.out + admin("events").out
    assert kept(config) == {"auths": {"ghcr.io": {"auth": base64.b64encode(b"alice:s3cr:et").decode()}}}
    assert config.registry_credentials.stat().st_mode & 0o777 == 0o700
    assert (config.registry_credentials / "config.json").stat().st_mode & 0o777 == 0o600


def test_the_list_has_no_passwords(admin: Caller) -> None:
    assert admin("registry").out == "No registries. Log in to one: ssh paas registry:login HOST USER\n"
    admin("registry:login", "registry.example.com:5000", "bob", stdin=b"token")
    admin("registry:login", "ghcr.io", "alice", stdin=b"s3cret")

    assert admin("registry").out == (
        "REGISTRY                   USER\n"
        "ghcr.io                    alice\n"
        "registry.example.com:5000  bob\n"
    )  # fmt: skip
    assert admin("registry", "--format", "json").json == [
        {"registry": "ghcr.io", "user": "alice"},
        {"registry": "registry.example.com:5000", "user": "bob"},
    ]


def test_docker_hub_has_a_name_of_its_own(admin: Caller, config: Config) -> None:
    for name in ("docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"):
        admin("registry:login", name, "alice", stdin=b"s3cret")

    assert list(kept(config)["auths"]) == ["https://index.docker.io/v1/"]
    assert admin("registry", "--format", "json").json == [{"registry": "docker.io", "user": "alice"}]
    assert admin("registry:logout", "docker.io").code == 0
    assert kept(config) == {"auths": {}}


def test_logout_forgets(admin: Caller, config: Config) -> None:
    admin("registry:login", "ghcr.io", "alice", stdin=b"old")
    admin("registry:login", "ghcr.io", "bob", stdin=b"new")
    admin("registry:login", "quay.io", "bob", stdin=b"new")

    assert admin("registry:logout", "GHCR.io") == Answer(0, "Builds do not log in to ghcr.io any more.\n", "")
    assert list(kept(config)["auths"]) == ["quay.io"]
    assert admin("registry:logout", "ghcr.io").err.startswith(" !     Nobody is logged in to ghcr.io.")


@pytest.mark.parametrize("host", ["", "http://x", "a/b", "a b", "-a", "ä.de", "a:b", "a:123456", "x" * 254])
def test_what_is_no_registry(admin: Caller, host: str, config: Config) -> None:
    assert admin("registry:login", "--", host, "alice", stdin=b"s3cret").code == 2
    assert not config.registry_credentials.exists()


@pytest.mark.parametrize(("user", "password"), [("", b"x"), ("a:b", b"x"), ("a", b""), ("a", b"\n"), ("a", b"b\nc\n")])
def test_what_no_registry_would_understand(admin: Caller, user: str, password: bytes) -> None:
    answer = admin("registry:login", "ghcr.io", user, stdin=password)

    assert answer.code == 2
    assert admin("registry", "--format", "json").json == []


def test_a_terminal_is_asked_without_showing_it(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda question: {"Password of alice at ghcr.io: ": "s3cret"}[question])
    operator.tty = True

    assert operator("registry:login", "ghcr.io", "alice").code == 0
    assert "Pipe it in" in operator.over_ssh("admin")("registry:login", "ghcr.io", "alice").err


def test_a_file_that_is_rubbish_is_said_to_be(admin: Caller, config: Config) -> None:
    config.registry_credentials.mkdir()
    (config.registry_credentials / "config.json").write_text("{")
    assert "cannot be read" in admin("registry").err

    (config.registry_credentials / "config.json").write_text('{"auths": {"a.io": {}, "b.io": {"auth": "!"}}}')
    assert admin("registry", "--format", "json").json == [
        {"registry": "a.io", "user": "?"},
        {"registry": "b.io", "user": "?"},
    ]


def test_only_admins_may(deployer: Caller) -> None:
    for argv in (["registry"], ["registry:login", "a", "b"], ["registry:logout", "a"]):
        assert deployer(*argv).code == 3
