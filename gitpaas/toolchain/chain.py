"""The toolchain as its users see it: the path of a binary that runs, wherever it has to come from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gitpaas.config import Config
from gitpaas.errors import NotFound, ToolFailed
from gitpaas.toolchain import runc
from gitpaas.toolchain.answers import server_path
from gitpaas.toolchain.given import Given
from gitpaas.toolchain.inspector import Finding, Inspector, ToolState
from gitpaas.toolchain.install import Installer, Say, way_out
from gitpaas.toolchain.pins import Pins, Tool, shipped
from gitpaas.toolchain.shelf import Shelf


class Toolchain:
    """Cheap to make. One object for a server is best: it remembers which of the operator's binaries it saw running."""

    def __init__(self, config: Config, pins: Pins | None = None) -> None:
        self._config = config
        self._pins = pins or shipped()
        self._shelf = Shelf(config.toolchain)
        self._given = Given(config)

    def path(self, binary: str, on_line: Say | None = None) -> Path:
        """Where the binary is; its tool is installed first when it is nowhere yet, which `on_line` is told.

        ToolFailed says what was tried. An optional binary that its tool came without is a ToolFailed as well."""
        tool = self._pins.owner(binary)
        if given := self._given.usable(binary):
            return given
        if not self._shelf.is_whole(tool):
            self._install([tool], on_line)
        if fault := self._shelf.fault(tool, binary):
            raise ToolFailed(f"{binary} of {tool.name} {tool.version} is {fault}", way_out(tool, self._pins))
        return self._shelf.folder(tool) / binary

    def search_path(self, on_line: Say | None = None) -> str:
        """PATH for buildkitd, which starts others by name: our binaries first, then the server's own PATH.

        ToolFailed when there is no runc on it: buildkitd would start, and refuse every build."""
        ours = [self.path(binary.name, on_line).parent for binary in self._pins.tools["buildkit"].required]
        path = os.pathsep.join([*dict.fromkeys(map(str, ours)), server_path(self._config)])
        if runc.find(path) is None:
            raise ToolFailed("runc is missing, which starts the steps of every image build", runc.HINT)
        return path

    def seen_at(self, tool: str) -> Path:
        """The path at which another tool expects this one, whatever we say; "." when none does."""
        return Path(self._pins.tools[tool].seen_at)

    def installed(self) -> list[ToolState]:
        """How each tool stands, runc too. Nothing is run and nothing is installed."""
        return self._inspector.states()

    def check(self) -> list[Finding]:
        """Every binary compared with what was installed, and asked for its version."""
        return self._inspector.findings()

    def install(self, tool: str | None = None, on_line: Say | None = None) -> None:
        """Install what is missing or damaged: one tool, or all. NotFound for a name that is no tool's."""
        wanted = [one for one in self._chosen(tool) if not self._given.has_all(one)]
        self._install(wanted, on_line, thorough=True)

    def copy_into(self, folder: Path, tool: str | None = None, on_line: Say | None = None) -> None:
        """Make `folder` one that serves as the setting `tools`: install, then copy every binary there."""
        self.install(tool, on_line)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for source in self._sources(self._chosen(tool)):
            if source.parent != folder:
                _copy(source, folder / source.name)

    def _install(self, tools: list[Tool], on_line: Say | None, *, thorough: bool = False) -> None:
        Installer(self._config, self._pins, self._shelf).install(tools, on_line or _nothing, thorough=thorough)

    @property
    def _inspector(self) -> Inspector:
        return Inspector(self._config, self._pins, self._shelf, self._given)

    def _chosen(self, name: str | None) -> list[Tool]:
        if name is None:
            return list(self._pins.tools.values())
        if name not in self._pins.tools:
            raise NotFound(f"There is no tool {name}.", f"There are: {', '.join(self._pins.tools)}.")
        return [self._pins.tools[name]]

    def _sources(self, tools: list[Tool]) -> Iterator[Path]:
        for tool in tools:
            for name in tool.binaries:
                path = self._given.usable(name) or self._shelf.folder(tool) / name
                if path.exists():
                    yield path


def _nothing(_line: str) -> None:
    return None


def _copy(source: Path, target: Path) -> None:
    """In one step, also over a binary that runs just now."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.chmod(0o755)
    partial.replace(target)
