"""Names that stand for hosts: links `<routes>/.aliases/<name>` to a host's directory, so that whatever changes there
changes for all its names in the same instant. They have a directory of their own, where none can hide a host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from gitpaas.router import folder

_UP = "../"
_WILD, _ENTRY = "*.", "_."  # no name has an underscore, and Caddy takes a star in a path for a glob


class Aliases:
    """Written with the table's lock held; read without it, and again only when the directory has changed."""

    def __init__(self, routes: Path) -> None:
        self._folder = routes / ".aliases"
        self._known: tuple[folder.Version | None, Mapping[str, str]] = None, {}

    def set(self, name: str, host: str | None) -> None:
        """Make the link, or remove it. A request finds the one before, or this one."""
        link = self._folder / (_ENTRY + name.removeprefix(_WILD) if name.startswith(_WILD) else name)
        if host is None:
            link.unlink(missing_ok=True)
            return
        self._folder.mkdir(exist_ok=True, mode=0o700)
        fresh = self._folder / ".new"  # of any name: the longest have no room for more
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(_UP + host)
        fresh.rename(link)

    def all(self) -> Mapping[str, str]:
        """{"www.example.com": "hello.localhost"}"""
        version = folder.version(self._folder, time.time())
        if version is None or self._known[0] != version:
            self._known = version, self._read()
        return self._known[1]

    def _read(self) -> Mapping[str, str]:
        found = {entry: self._target(entry) for entry in folder.names(self._folder) if entry[0] != "."}
        return {_name(entry): host for entry, host in found.items() if host is not None}

    def _target(self, entry: str) -> str | None:
        try:
            return str((self._folder / entry).readlink()).removeprefix(_UP)
        except OSError:  # gone meanwhile, or none of ours
            return None


def _name(entry: str) -> str:
    return _WILD + entry.removeprefix(_ENTRY) if entry.startswith(_ENTRY) else entry
