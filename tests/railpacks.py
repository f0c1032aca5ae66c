"""Railpack for tests: the real one, with a mise that makes up the versions it is asked for.

mise asks nodejs.org, GitHub and python.org which versions there are, and tests must not depend on these. So what is
not seen here is mise's own resolving, and the images of languages that a plan installs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import engine
import users
from sinks import Lines

from gitpaas.builders.railpack import RailpackBuilder
from gitpaas.config import Config, load
from gitpaas.output import Output
from gitpaas.values import BuildRequest, Limits, Secret

UID = users.BUILDS
PLANS = Path(__file__).parent / "plans"  # what `railpack info` answered, with the stand-in
# "latest python@3.13" is 3.13.7; nothing has a version 99, and GitHub is down for whoever asks for gleam.
MISE = """#!/bin/sh
case "$1 $2" in
  --version*) echo "2026.3.8 stand-in" ;;
  --cd*)
    [ -f /app/.python-version ] || { echo '{}'; exit; }
    read -r version < /app/.python-version
    echo '{"python":[{"version":"'$version'","source":{"type":".python-version","path":"/app/.python-version"}}]}' ;;
  *gleam@*) echo "mise WARN  Remote versions cannot be fetched: error sending request for url (https://x/)" >&2 ;;
  *@99*) ;;
  *@ | *@latest) echo 9.8.7 ;;
  *@*.*.*) echo "${2#*@}" ;;
  *@*.*) echo "${2#*@}.7" ;;
  *@*) echo "${2#*@}.4.7" ;;
esac
"""


@dataclass
class Yard:
    """A state directory, and builds in it."""

    config: Config
    lines: Lines = field(default_factory=Lines)

    @cached_property
    def builder(self) -> RailpackBuilder:
        return RailpackBuilder(self.config)

    @property
    def out(self) -> Output:
        self.lines = Lines()
        return Output(self.lines)

    def request(
        self,
        files: Path,
        *,
        app: str = "hello",
        env: Mapping[str, str] | None = None,
        previous: Mapping[str, str] | None = None,
    ) -> BuildRequest:
        """One more build of these files. `env` are config vars."""
        number = time.time_ns()
        tree, cache = self.config.slug(app, number), self.config.cache(app)
        shutil.copytree(files, tree, symlinks=True)
        cache.mkdir(parents=True, exist_ok=True)
        for path in (cache, tree, *tree.rglob("*")):
            shutil.chown(path, UID, UID)
        return BuildRequest(
            app=app, build=number, commit="c" * 40, tree=tree, cache=cache,
            env={name: Secret(value) for name, value in (env or {}).items()},
            uid=UID, timeout=120, limits=Limits(memory=2 << 30), previous=previous or {},
        )  # fmt: skip


def yard(home: Path, tools: Path | None = None) -> Yard:
    environ = {"GITPAAS_HOME": str(home), "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    more = {"GITPAAS_TOOLS": str(tools)} if tools else {}
    config = load(environ | engine.variables() | more)
    for directory in (config.home, config.run, config.toolchain, config.locks):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Yard(config)


def with_stand_in(directory: Path) -> Path:
    """A directory of tools whose mise is the stand-in."""
    directory.mkdir(mode=0o700)
    (directory / "railpack").symlink_to(engine.TOOLS / "railpack")
    (directory / "mise").write_text(MISE)
    (directory / "mise").chmod(0o755)
    return directory


def recorded(name: str) -> str:
    return (PLANS / f"{name}.json").read_text()


def plant(directory: Path, files: Mapping[str, str]) -> Path:
    """A directory with these files."""
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory
