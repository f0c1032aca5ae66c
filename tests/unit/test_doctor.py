"""doctor: looks at everything, changes nothing, and says what to do."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pairs
import pytest
from callers import Caller

from gitpaas import doctor, engine, linux, platform
from gitpaas.config import Config, load
from gitpaas.doctor import Finding
from gitpaas.errors import CommandFailed, RouterFailed
from gitpaas.platform import Choice
from gitpaas.router.caddy import CaddyRouter
from gitpaas.toolchain import Toolchain, ToolState, runc


def found(config: Config, what: str) -> list[tuple[str, str]]:
    return [(finding.state, finding.text) for finding in doctor.examine(config) if finding.what == what]


@pytest.fixture
def docker(config: Config, tmp_path: Path) -> Config:
    """A server for Docker where none answers."""
    return replace(config, runtime="docker", docker_host=f"unix://{tmp_path}/none.sock")


def test_before_init_it_makes_nothing(config: Config) -> None:
    assert ("ok", "host: The setting runtime says so.") in found(config, "runtime")
    assert not config.home.exists()


def test_the_command_shows_what_was_found(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Finding("runtime", "ok", "host: so"), Finding("server", "poor", "does not run", "Start it: now")]
    monkeypatch.setattr(doctor, "examine", lambda _: findings)

    answer = admin("doctor")
    assert answer.code == 0
    assert answer.out == (
        "      runtime  host: so\npoor  server   does not run\n               Start it: now\n"
    )  # fmt: skip
    assert admin("doctor", "--format", "json").json[1] == {
        "what": "server", "state": "poor", "text": "does not run", "hint": "Start it: now"
    }  # fmt: skip


def test_what_is_needed_and_missing_fails_it(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda _: [Finding("git", "missing", "no git")])

    assert admin("doctor").code == 1
    assert admin("doctor").out == " !    git  no git\n"
    assert admin("doctor", "--format", "json").code == 1


def test_a_change_of_keys_that_was_interrupted(config: Config, operator: Caller) -> None:
    operator.platform.store.seal.close("text")
    assert found(config, "key") == []

    operator.platform.store.seal.add_key()
    assert found(config, "key") == [("poor", "a change of the key of config vars was interrupted")]


def test_a_runtime_that_would_be_another_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load({"GITPAAS_HOME": str(tmp_path), "PATH": ""})
    config.chosen_runtime.write_text("host\nNo Docker Engine answered.\n")
    monkeypatch.setattr(platform, "decide", lambda _: Choice("docker", "Docker Engine answers."))

    finding = doctor.examine(config)[0]
    assert finding.text == "host: No Docker Engine answered. That was at init; now: Docker Engine answers."
    assert finding.hint == "To change it: runtime = 'docker' in gitpaas.toml, then gitpaas restart"


def test_ports_of_a_server_that_does_not_run(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        findings = found(replace(config, ssh_port=number, http_port=0), "ports")

    assert findings[0][0] == "missing"
    assert f"127.0.0.1:{number} is taken by" in findings[0][1]
    assert findings[1] == ("ok", "127.0.0.1:0 is free")


PUBLIC = {"https_port": 443, "http_port": 80, "base_domain": "apps.example.com", "bind": "0.0.0.0"}


@pytest.mark.parametrize(
    ("changed", "state", "words"),
    [
        ({}, "ok", "which looks at port 80 (http-01)"),
        ({"http_port": 8080}, "ok", "which looks at port 443 alone (tls-alpn-01)"),
        ({"https_port": 8443}, "ok", "which looks at port 80 (http-01)"),
        ({"https_port": 8443, "http_port": 8080}, "poor", "neither at 80 nor at 443"),
        ({"bind": "127.0.0.1"}, "poor", "nobody outside reaches 127.0.0.1"),
        ({"bind": "::1"}, "poor", "nobody outside reaches ::1"),
        ({"bind": "127.0.0.1", "base_domain": "apps.internal"}, "ok", "this server's own CA"),
    ],
)
def test_whether_a_ca_finds_this_server(config: Config, changed: dict[str, Any], state: str, words: str) -> None:
    ((found_state, text),) = found(replace(config, **(PUBLIC | changed)), "https")

    assert found_state == state
    assert words in text


def test_without_https_nothing_is_said_of_it(config: Config) -> None:
    assert found(config, "https") == []


def test_certificates_that_did_not_come_or_end_soon(config: Config) -> None:
    public = replace(config, **PUBLIC, acme_directory="https://acme.example.com/dir")  # type: ignore[arg-type]
    router = CaddyRouter(public.routes)
    public.routes.mkdir(parents=True)
    for host, days in (("good", 8.0), ("soon", 5.5), ("over", -0.1), ("failed", None), ("none", None)):
        router.show(f"{host}.example.com", "empty")
        if days is not None:
            path = (
                public.tls / "certificates" / "acme.example.com-dir" / f"{host}.example.com" / f"{host}.example.com.crt"
            )
            pairs.write(path, path.with_suffix(".key"), f"{host}.example.com", ends_in=days * 86400)
    public.caddy.mkdir()
    line = {"ts": 1.0, "identifier": "failed.example.com", "error": "HTTP 400 - no DNS record"}
    public.certificates_log.write_text(json.dumps(line) + "\n")

    assert found(public, "https")[1:] == [
        ("poor", "no certificate for failed.example.com: HTTP 400 - no DNS record"),
        ("poor", "the certificate of over.example.com has ended"),
        ("poor", "the certificate of soon.example.com ends in 5.5 days"),
    ]


def test_the_port_of_https_is_looked_at_too(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        findings = found(replace(config, ssh_port=0, http_port=0, https_port=number), "ports")

    assert f"127.0.0.1:{number} is taken by" in findings[2][1]


def test_programs_that_are_not_there(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> Any:
        raise CommandFailed("git is not installed", code=127)

    def no_caddy(_: object) -> Any:
        raise RouterFailed("Caddy is not installed", "Install it")

    monkeypatch.setattr("gitpaas.shell.capture", none)
    monkeypatch.setattr(doctor, "find_binary", no_caddy)
    assert found(config, "git") == [("missing", "git is not installed")]
    assert found(config, "router") == [("missing", "Caddy is not installed")]


def test_a_disk_that_is_nearly_full(config: Config) -> None:
    ((state, text),) = found(replace(config, min_free_disk=10**18), "disk")

    assert state == "missing"
    assert "free on the disk of" in text


def test_without_isolation_it_works_but_poorly(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "can_confine", lambda: False)
    monkeypatch.setattr(linux, "cgroup_version", lambda: None)

    assert [state for state, _ in found(config, "limits")] == ["poor", "poor"]
    assert found(config, "sandbox") == []


def test_an_engine_that_is_silent(docker: Config) -> None:
    ((state, text),) = found(docker, "engine")

    assert state == "missing"
    assert "does not answer" in text


def test_an_engine_that_answers(docker: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"ServerVersion": "20.10.24", "Driver": "overlay2", "CgroupVersion": "2", "CgroupDriver": "systemd"}
    monkeypatch.setattr("gitpaas.engine.ask.ask", lambda *_: info)
    monkeypatch.setattr("gitpaas.runtimes.docker.DockerRuntime.missing", lambda _: ["It cannot limit CPU time."])

    assert found(docker, "engine") == [
        ("ok", "Docker Engine 20.10.24, overlay2, cgroup v2 (systemd)"),
        ("poor", "It cannot limit CPU time."),
    ]


@pytest.mark.parametrize("has_runc", [True, False])
def test_tools(docker: Config, monkeypatch: pytest.MonkeyPatch, has_runc: bool) -> None:
    states = [
        ToolState("railpack", "0.23.0", "ready", "archive"),
        ToolState("buildkit", "0.32.2", "missing"),
        ToolState("runc", None, "ready", "PATH") if has_runc else ToolState("runc", None, "missing"),
    ]
    monkeypatch.setattr(Toolchain, "installed", lambda _: states)

    expected = [("ok", "railpack 0.23.0 (archive)" + (", runc (PATH)" if has_runc else ""))]
    expected += [] if has_runc else [("missing", "runc is missing, which starts the steps of every image build")]
    assert found(docker, "tools") == [*expected, ("poor", "buildkit 0.32.2 is missing")]
    hints = [finding.hint for finding in doctor.examine(docker) if finding.what == "tools"]
    assert (runc.HINT in hints) is not has_runc


def test_buildkit(docker: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.buildkit.BuildKit.missing", lambda _: [])
    assert found(docker, "buildkit") == [
        ("ok", "starts with the next build; capped at 4.0 GB, its steps behind a bridge of their own")
    ]

    monkeypatch.setattr("gitpaas.buildkit.BuildKit.missing", lambda _: ["No cgroup."])
    monkeypatch.setattr("gitpaas.buildkit.BuildKit.pid", lambda _: 42)
    assert found(docker, "buildkit") == [("ok", "runs (pid 42)"), ("poor", "No cgroup.")]


def test_without_docker_nothing_of_it_is_asked(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answers", lambda _: False)

    assert {finding.what for finding in doctor.examine(config)}.isdisjoint({"engine", "tools", "buildkit"})


@pytest.mark.needs("docker")
def test_on_this_machine(config: Config) -> None:
    findings = doctor.examine(replace(config, runtime="docker"))

    assert ("engine", "ok") in [(finding.what, finding.state) for finding in findings]
    assert not config.home.exists()
