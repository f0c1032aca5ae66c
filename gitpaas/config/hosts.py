"""Which names no public CA certifies, since they mean something else in every network, or nothing outside of it."""

from __future__ import annotations

# RFC 6761 and 9476, what ICANN and RFC 8375 keep for private use, and what many routers hand out.
LOCAL = ("localhost", "test", "internal", "local", "home.arpa", "lan")

DEEPEST = 6  # labels before those of a name that has a certificate: Caddy must be told of each depth


def is_local(host: str) -> bool:
    return "." not in host or f".{host}".endswith(tuple(f".{name}" for name in LOCAL))


def is_too_deep(host: str) -> bool:
    """Whether it is local, and further beneath than our own CA certifies."""
    beneath = (host.removesuffix(f".{name}") for name in LOCAL if host.endswith(f".{name}"))
    return any(labels.count(".") >= DEEPEST for labels in beneath)


def local_patterns() -> list[str]:
    """What is local for Caddy, of which a * stands for one label. A single word first."""
    return ["*", *(f"{'*.' * depth}{name}" for name in LOCAL for depth in range(DEEPEST + 1))]
