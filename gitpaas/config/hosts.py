"""Which names no public CA certifies, since they mean something else in every network, or nothing outside of it."""

from __future__ import annotations

# RFC 6761 and 9476, what ICANN and RFC 8375 keep for private use, and what many routers hand out.
LOCAL = ("localhost", "test", "internal", "local", "home.arpa", "lan")

_DEEPEST = 4  # labels before those


def is_local(host: str) -> bool:
    return "." not in host or host.endswith(tuple(f".{name}" for name in LOCAL))


def local_patterns() -> list[str]:
    """The same for Caddy, of which a * stands for one label. A single word first."""
    return ["*", *(f"{'*.' * depth}{name}" for name in LOCAL for depth in range(_DEEPEST + 1))]
