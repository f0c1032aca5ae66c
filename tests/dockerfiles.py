"""Builds of Dockerfiles for tests: a state directory with a BuildKit of its own, and trees to build in it."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import engine
import users
from sinks import Lines

from gitpaas import platform
from gitpaas.builders.dockerfile import DockerfileBuilder
from gitpaas.buildkit import BuildKit
from gitpaas.config import Config, load
from gitpaas.output import Output
from gitpaas.values import Artifact, BuildOptions, BuildRequest, Secret

UID = users.BUILDS + 1
BASE = "FROM debian:bookworm-slim\n"
_NUMBERS = itertools.count(int(time.time()) % 1_000_000)


@dataclass
class Built:
    artifact: Artifact
    text: str

    @property
    def cached(self) -> set[str]:
        """The steps that came out of the cache."""
        lines = (line.strip() for line in self.text.splitlines())
        return {line.removesuffix(" CACHED") for line in lines if line.endswith(" CACHED")}

    def run(self, *argv: str) -> str:
        """What a container of the image prints; gone at once."""
        words = ["docker", "run", "--rm", "--network=none", "--label=gitpaas-test", self.artifact.reference, *argv]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass
class Yard:
    """A state directory, and builds in it."""

    config: Config

    @cached_property
    def buildkit(self) -> BuildKit:
        return BuildKit(self.config)

    def request(
        self,
        text: str,
        files: Mapping[str, str] | None = None,
        *,
        app: str = "hello",
        env: Mapping[str, str] | None = None,
        links: Mapping[str, str] | None = None,
        timeout: float = 120,
        **options: object,
    ) -> BuildRequest:
        """One more build, of a Dockerfile with this text. `env` are config vars."""
        number = next(_NUMBERS)
        tree = self.config.slug(app, number)
        tree.mkdir(parents=True)
        for name, content in {"Dockerfile": text, **(files or {})}.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content)
        for name, target in (links or {}).items():
            (tree / name).symlink_to(target)
        for path in (tree, *tree.rglob("*")):
            os.chown(path, UID, UID, follow_symlinks=False)
        tree.chmod(0o700)
        secrets = {name: Secret(value) for name, value in (env or {}).items()}
        return BuildRequest(app, number, "c" * 40, tree, tree, secrets, UID, timeout, options=BuildOptions(**options))

    def build(self, text: str, files: Mapping[str, str] | None = None, **more: object) -> Built:
        lines = Lines()
        artifact = DockerfileBuilder(self.config).build(self.request(text, files, **more), Output(lines))
        return Built(artifact, lines.text)

    def again(self, **settings: str) -> Yard:
        """The same state directory with other settings."""
        return Yard(load({**self.config.environ, **{f"GITPAAS_{name}": value for name, value in settings.items()}}))


@contextmanager
def yard(home: Path) -> Iterator[Yard]:
    """Whatever was built there is removed from the engine at the end, and no daemon is left."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    config = load({"GITPAAS_HOME": str(home), "GITPAAS_RUNTIME": "docker", "PATH": path, **engine.variables()})
    platform.prepare(config)
    made = Yard(config)
    try:
        yield made
    finally:
        made.buildkit.stop()
        engine.clear(config.identity)


def eventually(check: object, seconds: float = 120) -> None:
    """Until `check()` holds, or the test fails."""
    assert callable(check)
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
