"""The router points hosts at instances. Nothing above knows that it is Caddy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gitpaas.values import Page


class Router(Protocol):
    """The routing table: what a host answers. Each call is atomic, works from the next request on, and cuts nobody.

    A host is a name in small letters without a trailing dot; requests may spell it either way. Calls are safe to
    repeat, from any process on the machine; RouterFailed when the table cannot be written.
    """

    capacity: int  # addresses one host can have; numbers that divide it are balanced evenly

    def point(self, host: str, addresses: Sequence[str]) -> None:
        """Send a host's requests to these addresses (at least one, at most `capacity`).

        Replaces an earlier page, except `maintenance`, which stays on top until lift()."""

    def show(self, host: str, page: Page) -> None:
        """Answer a host with one of our own pages instead of its addresses.

        `maintenance` alone replaces nothing: it covers the addresses or page beneath, which may go on changing."""

    def lift(self, host: str) -> None:
        """Take the maintenance page away: what lies beneath answers again."""

    def forget(self, host: str) -> None:
        """The host is unknown from now on."""

    def routes(self) -> dict[str, tuple[str, ...] | Page]:
        """What every known host answers with: its addresses (each once, in order) or a page."""

    def connections(self, address: str) -> int:
        """Open connections to an instance, idle keep-alives included: 0 means it has drained."""
