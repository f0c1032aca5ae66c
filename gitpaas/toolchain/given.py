"""The operator's own directory of tools (setting `tools`): what lies there wins, whatever its version."""

from __future__ import annotations

from pathlib import Path

from gitpaas.config import Config
from gitpaas.errors import ToolFailed
from gitpaas.toolchain.answers import answer, refuse_what_others_write
from gitpaas.toolchain.pins import Tool


class Given:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._seen: set[tuple[Path, int, int]] = set()

    @property
    def folder(self) -> Path | None:
        """None when the operator names none. ToolFailed for one that is not there."""
        if not self._config.tools:
            return None
        folder = Path(self._config.tools).expanduser().absolute()
        if not folder.is_dir():
            raise ToolFailed(f"the tools directory {folder} is not there", "Make it, or change the setting `tools`.")
        return folder

    def find(self, name: str) -> Path | None:
        path = self.folder / name if self.folder else None
        return path if path and path.exists() else None

    def has_all(self, tool: Tool) -> bool:
        return all(self.find(binary.name) for binary in tool.required)

    def usable(self, name: str) -> Path | None:
        """The binary, seen running once for as long as it stays the same file. ToolFailed when it does not run."""
        path = self.find(name)
        if path is None:
            return None
        status = path.stat()
        seen = (path, status.st_size, status.st_mtime_ns)
        if seen not in self._seen:
            refuse_what_others_write(path)
            answer(self._config, path)
            self._seen.add(seen)
        return path
