"""The router points hosts at instances. Nothing above knows that it is Caddy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gitpaas.values import Page


class Router(Protocol):
    """The routing table: what a host answers. Each call is atomic, works from the next request on, and cuts nobody.

    A host is a name in small letters without a trailing dot; requests may spell it either way. Calls are safe to
    repeat, from any process on the machine; RouterFailed when the table cannot be written.
    """

    capacity: int  # addresses one host can have; numbers that divide it are balanced evenly

    def point(self, host: str, addresses: Sequence[str]) -> None:
        """Send a host's requests to these addresses (at least one, at most `capacity`)."""

    def show(self, host: str, page: Page) -> None:
        """Answer a host with one of our own pages instead."""

    def hold(self, host: str, on: bool) -> None:
        """Cover a host with the maintenance page, or uncover it. What lies beneath stays, and may change meanwhile."""

    def forget(self, host: str) -> None:
        """The host is unknown from now on."""

    def routes(self) -> dict[str, tuple[str, ...] | Page]:
        """Every known host with its addresses (each once, in order) or its page; hold() does not change it."""

    def route(self, host: str) -> tuple[str, ...] | Page | None:
        """The same of one host; None when it is unknown. It costs the same however many hosts there are."""

    def alias(self, name: str, host: str | None) -> None:
        """Answer a name as a host is answered, now and whatever becomes of that; None: no more. `*.example.com` is any
        name one label beneath. A host goes before a name that is spelt like it, and a name before a wildcard."""

    def aliases(self) -> Mapping[str, str]:
        """Every such name and its host, which may be unknown: then nothing answers at the name either."""

    def connections(self, address: str) -> int:
        """Open connections to an instance, idle keep-alives included: 0 means it has drained."""
