"""What is read of a Dockerfile before BuildKit gets it, and what BuildKit is asked then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitpaas.builders import dockerfile, dockerfile_text
from gitpaas.builders.dockerfile import DockerfileBuilder, job_for
from gitpaas.config import Config
from gitpaas.errors import BuildFailed
from gitpaas.output import Output
from gitpaas.values import BuildOptions, BuildRequest, Detection, Secret

HOST = "build-arg:BUILDKIT_SANDBOX_HOSTNAME"


@pytest.fixture
def request_(tmp_path: Path) -> BuildRequest:
    return BuildRequest("hello", 7, "abc123", tmp_path, tmp_path, {}, None, 60.0)


@pytest.mark.parametrize(
    ("text", "stock"),
    [
        ("# syntax=docker/dockerfile:1\nFROM x", True),
        ("#syntax = docker.io/docker/dockerfile:1.7.2\nFROM x", True),
        ("# escape=`\n# SYNTAX=docker/dockerfile\n", True),
        ("\ufeff# syntax=docker/dockerfile:latest", True),
        ("# syntax=docker/dockerfile:1-labs", False),
        ("# syntax=docker/dockerfile:2", False),
        ("# syntax=evil/docker/dockerfile:1", False),
        ("FROM x\n# syntax=docker/dockerfile:1", False),
        ("# just words\n# syntax=docker/dockerfile:1", False),
        ("", False),
    ],
)
def test_the_stock_syntax_needs_no_image(text: str, stock: bool) -> None:
    assert dockerfile_text.wants_stock_syntax(text) is stock


@pytest.mark.parametrize(
    ("text", "target", "base"),
    [
        ("FROM debian:12\nRUN x", None, "debian:12"),
        ("from --platform=linux/amd64 a AS build\nFROM build\n", None, "a"),
        ("FROM a AS one\nFROM b AS two\n", "one", "a"),
        ("FROM a AS one\nFROM b AS two\n", "TWO", "b"),
        ("FROM a AS a\n", None, "a"),
        ("ARG V=1\nFROM python:$V\n", None, None),
        ("FROM a\n", "nothing", None),
        ("RUN x", None, None),
    ],
)
def test_the_base_image(text: str, target: str | None, base: str | None) -> None:
    assert dockerfile_text.base(text, target) == base


def test_the_secrets_that_are_mounted() -> None:
    text = (
        "RUN --mount=type=secret,id=TOKEN,env=TOKEN x\nRUN --mount=target=/x,type=secret,source=KEY y\n"
        "RUN --mount=type=cache,id=PIP,target=/root z\n# id=NOT\n"
    )
    assert dockerfile_text.secret_names(text) == {"TOKEN", "KEY"}


def test_what_buildkit_is_asked(config: Config, request_: BuildRequest) -> None:
    options = BuildOptions(target="prod", args={"NODE_ENV": "test"})
    env = {"TOKEN": Secret("s"), "HTTP_PROXY": "http://p:1", "https_proxy": "http://me:pw@p:1", "UV_SYSTEM_CERTS": "1"}
    job = job_for(config, replace(request_, options=options, env=env), "docker/Dockerfile", "FROM x")
    assert job.options == {
        "filename": "docker/Dockerfile",
        "target": "prod",
        "build-arg:NODE_ENV": "test",
        "build-arg:SOURCE_VERSION": "abc123",
        "build-arg:HTTP_PROXY": "http://p:1",
        "build-arg:BUILDKIT_CACHE_MOUNT_NS": "hello",
        HOST: "hello",
    }
    assert job.secrets == {"TOKEN": Secret("s")}
    assert (job.app, job.build, job.name) == ("hello", 7, "gitpaas/hello:build-7")


def test_arguments_of_people_do_not_undo_what_keeps_apps_apart(config: Config, request_: BuildRequest) -> None:
    args = {"BUILDKIT_CACHE_MOUNT_NS": "other", "BUILDKIT_SANDBOX_HOSTNAME": "other"}
    job = job_for(config, replace(request_, options=BuildOptions(args=args)), "Dockerfile", "FROM x")
    assert job.options["build-arg:BUILDKIT_CACHE_MOUNT_NS"] == "hello"
    assert job.options[HOST] == "hello"


def test_steps_are_others_when_a_secret_that_they_mount_is_another(config: Config, request_: BuildRequest) -> None:
    text = "FROM x\nRUN --mount=type=secret,id=TOKEN x"

    def host(text: str = text, **values: str) -> str:
        env = {name: Secret(value) for name, value in values.items()}
        return job_for(config, replace(request_, env=env), "Dockerfile", text).options[HOST]

    assert host(TOKEN="1", OTHER="1") == host(TOKEN="1", OTHER="2")
    assert host(TOKEN="1") != host(TOKEN="2")
    assert host(text="FROM x", TOKEN="1") == "hello"
    assert len(host(TOKEN="1")) <= 63


def test_a_long_name_of_an_app_is_still_the_name_of_a_machine(config: Config, request_: BuildRequest) -> None:
    job = job_for(config, replace(request_, app="a" * 80), "Dockerfile", "")
    assert job.options[HOST] == "a" * 63


def test_detect(config: Config, tmp_path: Path) -> None:
    builder = DockerfileBuilder(config)
    assert builder.detect(tmp_path) is None
    (tmp_path / "Dockerfile").symlink_to("/etc/passwd")
    assert builder.detect(tmp_path) is None
    (tmp_path / "Dockerfile").unlink()
    (tmp_path / "Dockerfile").write_text("FROM x")
    assert builder.detect(tmp_path) == Detection("dockerfile", "Dockerfile")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("../Dockerfile", "not a path in the repository"),
        ("/etc/passwd", "not a path in the repository"),
        ("away", "leaves the repository"),
        ("nothing", "There is no file nothing in the repository"),
        ("folder", "There is no file folder in the repository"),
    ],
)
def test_a_dockerfile_that_is_not_one_of_the_trees(
    config: Config, request_: BuildRequest, path: str, told: str
) -> None:
    (request_.tree / "away").symlink_to("/etc/passwd")
    (request_.tree / "folder").mkdir()
    with pytest.raises(BuildFailed, match=told):
        DockerfileBuilder(config).build(replace(request_, options=BuildOptions(dockerfile=path)), Output())


@pytest.mark.parametrize(
    ("written", "processes"),
    [
        (None, {"web": ""}),
        ("release: migrate\n", {"web": "", "release": "migrate"}),
        ("web: serve\nworker: work\n", {"web": "serve", "worker": "work"}),
        ("worker: work\n", {"worker": "work"}),
    ],
)
def test_processes(
    config: Config,
    request_: BuildRequest,
    monkeypatch: pytest.MonkeyPatch,
    written: str | None,
    processes: dict[str, str],
) -> None:
    (request_.tree / "Dockerfile").write_text("FROM debian:12")
    if written:
        (request_.tree / "Procfile").write_text(written)
    monkeypatch.setattr(dockerfile.BuildKit, "build", lambda self, job, out: "sha256:1")
    monkeypatch.setattr(dockerfile.Images, "inspect", lambda self, image: type("Info", (), {"size": 5}))

    artifact = DockerfileBuilder(config).build(request_, Output())

    assert artifact.processes == processes
    assert (artifact.kind, artifact.reference, artifact.size) == ("image", "sha256:1", 5)
    assert artifact.details == {"base": "debian:12"}
