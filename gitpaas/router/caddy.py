"""The routing table as a directory that Caddy reads on each request; the Caddyfile tells its shape."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import get_args

from gitpaas import locks
from gitpaas.errors import RouterFailed
from gitpaas.linux import sockets
from gitpaas.router import folder
from gitpaas.router.aliases import Aliases
from gitpaas.values import Page

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")  # as in the Caddyfile
_ADDRESS = re.compile(r"[a-z0-9.:\[\]-]+:[0-9]{1,5}")
_PAGES: dict[str, Page] = {page: page for page in get_args(Page)}
_FIRST = 9_999_999_999  # counts down; ten digits, so that names sort as numbers do

# A request that has read the directory just before a switch looks for the old name a moment later.
_LINGER = 1.0

_Answer = tuple[str, ...] | Page
_Read = tuple[folder.Version | None, _Answer | None]

_HINT = "The state directory must be writable and its disk not full."


class CaddyRouter:
    """Writes `routes/<host>/to/<N>@<addresses or page>`: the newest (lowest) N is what the host answers."""

    capacity = 12

    def __init__(self, routes: Path) -> None:
        self._routes = routes
        self._known: dict[str, _Read] = {}  # what routes() has read
        self._aliases = Aliases(routes)

    def point(self, host: str, addresses: Sequence[str]) -> None:
        with self._changing(host) as site:
            _switch(site / "to", _slots(addresses))

    def show(self, host: str, page: Page) -> None:
        with self._changing(host) as site:
            _switch(site / "to", page)

    def hold(self, host: str, on: bool) -> None:
        with self._changing(host) as site:
            if on:
                site.mkdir(exist_ok=True)
                (site / "maintenance").touch()
            else:
                (site / "maintenance").unlink(missing_ok=True)

    def forget(self, host: str) -> None:
        gone = self._routes / f".gone-{host}"
        with self._changing(host) as site, suppress(FileNotFoundError):
            shutil.rmtree(gone, ignore_errors=True)  # a process killed in the middle of the next lines
            site.rename(gone)  # one instant for requests, however long the removal takes
            shutil.rmtree(gone)

    def routes(self) -> dict[str, _Answer]:
        known, now = self._known, time.time()
        hosts = [name for name in folder.names(self._routes) if name[0] != "."]
        self._known = {host: self._read(host, known.get(host), now) for host in hosts}
        return {host: answer for host, (_, answer) in self._known.items() if answer is not None}

    def route(self, host: str) -> _Answer | None:
        names = folder.names(f"{self._routes}/{host}/to") if _HOST.fullmatch(host) else []
        if not names:  # not there, or only held
            return None
        answer = _after_at(names[0])
        return _PAGES.get(answer) or tuple(dict.fromkeys(answer.split(",")))

    def alias(self, name: str, host: str | None) -> None:
        with self._changing(name.removeprefix("*.")):
            self._aliases.set(name, host and _required(host))

    def aliases(self) -> Mapping[str, str]:
        return self._aliases.all()

    def connections(self, address: str) -> int:
        return sockets.connections(address)

    def _read(self, host: str, before: _Read | None, now: float) -> _Read:
        """A directory is listed again when it has changed: each host is asked for every second, and hardly any has."""
        version = folder.version(f"{self._routes}/{host}/to", now)
        return before if before and version and before[0] == version else (version, self.route(host))

    @contextmanager
    def _changing(self, host: str) -> Iterator[Path]:
        site = self._routes / _required(host)
        try:
            with locks.held(self._routes / ".lock"):
                yield site
        except OSError as error:
            raise RouterFailed(f"The route of {host} cannot be changed: {error}", _HINT) from error


def _required(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise RouterFailed(f"{host[:80]!r} is not a host name that can be routed")
    return host


def _slots(addresses: Sequence[str]) -> str:
    if not 1 <= len(addresses) <= CaddyRouter.capacity:
        raise RouterFailed(f"A host takes 1 to {CaddyRouter.capacity} addresses, not {len(addresses)}")
    if wrong := [address for address in addresses if not _ADDRESS.fullmatch(address)]:
        raise RouterFailed(f"{wrong[0][:80]!r} is not an address such as 127.0.0.1:20017")
    return ",".join(islice(cycle(addresses), CaddyRouter.capacity))


def _switch(directory: Path, answer: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    names = folder.names(directory)
    if names and _after_at(names[0]) == answer:
        return
    number = int(names[0].partition("@")[0]) - 1 if names else _FIRST
    os.close(os.open(directory / f"{number:010d}@{answer}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    _tidy(directory, names)


def _tidy(directory: Path, names: list[str]) -> None:
    """Remove what was replaced long ago. `names`: newest first, the first of them replaced just now."""
    for newer, old in reversed(list(pairwise(names))):
        if time.time() - (directory / newer).stat().st_mtime > _LINGER:
            (directory / old).unlink()


def _after_at(name: str) -> str:
    return name.partition("@")[2]
