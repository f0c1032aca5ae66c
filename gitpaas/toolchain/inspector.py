"""How the tools stand: a quick look for a list, and a thorough one for a check."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gitpaas.config import Config
from gitpaas.errors import ToolFailed
from gitpaas.toolchain import runc
from gitpaas.toolchain.answers import answer, prove, refuse_what_others_write, server_path
from gitpaas.toolchain.given import Given
from gitpaas.toolchain.pins import Binary, Pins, Tool
from gitpaas.toolchain.shelf import Shelf

GIVEN, SYSTEM = "tools directory", "PATH"


@dataclass(frozen=True)
class ToolState:
    """`state` is ready, missing or damaged. `source`: how it came. `path`: the directory (runc: the file) in use.

    `version` is that of our pins; None where it is somebody else's choice."""

    tool: str
    version: str | None
    state: str
    source: str | None = None
    path: Path | None = None
    size: int = 0


@dataclass(frozen=True)
class Finding:
    """What a check found out about one binary: its version when it is `ok`, else what is wrong and what to do."""

    tool: str
    binary: str
    ok: bool
    text: str
    hint: str | None = None


@dataclass(frozen=True)
class Inspector:
    config: Config
    pins: Pins
    shelf: Shelf
    given: Given

    def states(self) -> list[ToolState]:
        return [*(self._state(tool) for tool in self.pins.tools.values()), self._runc_state()]

    def findings(self) -> list[Finding]:
        tools = self.pins.tools.values()
        found = [self._finding(tool, tool.binaries[name]) for tool in tools for name in self.shelf.expected(tool)]
        return [*found, self._runc_finding()]

    def _state(self, tool: Tool) -> ToolState:
        if self.given.has_all(tool):
            size = sum(path.stat().st_size for binary in tool.required if (path := self.given.find(binary.name)))
            return ToolState(tool.name, None, "ready", GIVEN, self.given.folder, size)
        folder = self.shelf.folder(tool)
        kept = self.shelf.kept(tool)
        if kept is None:
            return ToolState(tool.name, tool.version, "damaged" if folder.exists() else "missing")
        state = "ready" if self.shelf.is_whole(tool) else "damaged"
        return ToolState(tool.name, tool.version, state, kept.source, folder, kept.size)

    def _finding(self, tool: Tool, binary: Binary) -> Finding:
        try:
            return Finding(tool.name, binary.name, True, self._proven(tool, binary))
        except ToolFailed as error:
            return Finding(tool.name, binary.name, False, error.message, error.hint)

    def _proven(self, tool: Tool, binary: Binary) -> str:
        """What the binary answers. An operator's may be of any version: it was chosen."""
        if given := self.given.find(binary.name):
            refuse_what_others_write(given)
            return f"{answer(self.config, given)} ({given})"
        if fault := self.shelf.fault(tool, binary.name, thorough=True):
            raise ToolFailed(fault, f"Install {tool.name} again: gitpaas toolchain:install {tool.name}")
        return prove(self.config, binary, self.shelf.folder(tool) / binary.name)

    def _runc(self) -> Path | None:
        places = (self.given.folder, self.shelf.folder(self.pins.tools["buildkit"]))
        return runc.find(os.pathsep.join([*(str(place) for place in places if place), server_path(self.config)]))

    def _runc_state(self) -> ToolState:
        path = self._runc()
        if path is None:
            return ToolState("runc", None, "missing")
        kept = self.shelf.kept(self.pins.tools["buildkit"])
        known = {
            self.given.folder: GIVEN,
            self.shelf.folder(self.pins.tools["buildkit"]): kept.source if kept else None,
        }
        return ToolState("runc", None, "ready", known.get(path.parent, SYSTEM), path, path.stat().st_size)

    def _runc_finding(self) -> Finding:
        path = self._runc()
        if path is None:
            return Finding("runc", "runc", False, "missing", runc.HINT)
        try:
            return Finding("runc", path.name, True, f"{answer(self.config, path)} ({path})")
        except ToolFailed as error:
            return Finding("runc", path.name, False, error.message, runc.HINT)
