"""Fakes that stand in at a Protocol. The contract suites run over them and over the real thing alike."""

from __future__ import annotations

from collections.abc import Sequence

from gitpaas.errors import RouterFailed
from gitpaas.values import Page


class MemoryRouter:
    """A routing table that routes nothing. Tests set `open` to say how busy an address is."""

    capacity = 12

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.held: set[str] = set()
        self.switches: list[tuple[str, tuple[str, ...] | Page]] = []  # every change, oldest first
        self._table: dict[str, tuple[str, ...] | Page] = {}

    def point(self, host: str, addresses: Sequence[str]) -> None:
        if not 1 <= len(addresses) <= self.capacity:
            raise RouterFailed(f"{len(addresses)} addresses")
        self._switch(host, tuple(dict.fromkeys(addresses)))

    def show(self, host: str, page: Page) -> None:
        self._switch(host, page)

    def hold(self, host: str, on: bool) -> None:
        (self.held.add if on else self.held.discard)(host)

    def forget(self, host: str) -> None:
        self.held.discard(host)
        self._table.pop(host, None)

    def routes(self) -> dict[str, tuple[str, ...] | Page]:
        return dict(self._table)

    def connections(self, address: str) -> int:
        return self.open.get(address, 0)

    def _switch(self, host: str, answer: tuple[str, ...] | Page) -> None:
        if self._table.get(host) != answer:
            self._table[host] = answer
            self.switches.append((host, answer))
