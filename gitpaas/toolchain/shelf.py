"""Where installed tools lie: `<home>/toolchain/<tool>-<version>/`, each with a record of what was put there.

A directory of that name is whole: it is made under another name and renamed when it is done.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from gitpaas import shell
from gitpaas.toolchain.pins import Tool

_RECORD = "installed.json"
_UNDER_WAY = ".tools-"  # what bears this name is nobody's once the lock is free


@dataclass(frozen=True)
class File:
    sha256: str
    size: int


@dataclass(frozen=True)
class Kept:
    """A tool that is installed: how it came, and its files as they were then."""

    source: str
    files: Mapping[str, File]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())


class Shelf:
    def __init__(self, home: Path) -> None:
        self._home = home

    def folder(self, tool: Tool) -> Path:
        return self._home / f"{tool.name}-{tool.version}"

    def kept(self, tool: Tool) -> Kept | None:
        """What the record says; None when the tool is not installed, or its record cannot be read."""
        try:
            record = json.loads((self.folder(tool) / _RECORD).read_text())
            return Kept(record["source"], {name: File(**file) for name, file in record["files"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def fault(self, tool: Tool, name: str, *, thorough: bool = False) -> str | None:
        """What is wrong with an installed binary. Its size is compared, and its checksum when `thorough`."""
        kept = self.kept(tool)
        if kept is None or name not in kept.files:
            return "not installed"
        path = self.folder(tool) / name
        if not path.is_file():
            return "gone since it was installed"
        if path.stat().st_size != kept.files[name].size:
            return "not of the size that was installed"
        if thorough and _sha256(path) != kept.files[name].sha256:
            return "changed since it was installed: its checksum differs"
        return None

    def is_whole(self, tool: Tool, *, thorough: bool = False) -> bool:
        return not any(self.fault(tool, name, thorough=thorough) for name in self.expected(tool))

    def expected(self, tool: Tool) -> list[str]:
        """The binaries that must be there: those required, and what else was installed with them."""
        kept = self.kept(tool)
        return [name for name, one in tool.binaries.items() if not one.optional or (kept and name in kept.files)]

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory beside the others to work in, mode 0700; gone afterwards, with what killed ones left behind.

        For who holds the lock."""
        self._home.mkdir(exist_ok=True, mode=0o700)
        self._sweep()
        path = Path(tempfile.mkdtemp(dir=self._home, prefix=_UNDER_WAY))
        try:
            yield path
        finally:
            shell.remove(path)

    def put(self, tool: Tool, made: Path, source: str) -> None:
        """Make the directory `made` the installed tool. Other versions of it go: nothing starts them any more."""
        names = [name for name in tool.binaries if (made / name).exists()]
        kept = Kept(source, {name: File(_sha256(made / name), (made / name).stat().st_size) for name in names})
        record = {"tool": tool.name, "version": tool.version, "installed": round(time.time()), **asdict(kept)}
        (made / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
        made.chmod(0o700)
        for other in self._versions(tool):
            other.rename(made.with_name(f"old-{other.name}"))  # in the scratch directory, which goes
        made.rename(self.folder(tool))

    def _versions(self, tool: Tool) -> list[Path]:
        pattern = re.compile(re.escape(tool.name) + r"-\d[\w.+-]*")
        return [path for path in self._home.iterdir() if pattern.fullmatch(path.name)]

    def _sweep(self) -> None:
        for path in self._home.glob(f"{_UNDER_WAY}*"):
            shell.remove(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file, suppress(OSError):
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""
