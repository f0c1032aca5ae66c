"""Which instances a roll-out is taking away: named in a file, so that reconcile, in another process, neither routes
nor revives them. It means something only while the app's rollout lock is held; whoever was killed left it behind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gitpaas.config import Config
from gitpaas.values import Instance


def mark(config: Config, app: str, instances: Iterable[Instance]) -> None:
    """These and no others. With the live lock, so that reconcile is not just looking."""
    path = _path(config, app)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(f"{instance.id}\n" for instance in instances))
    fresh.rename(path)


def marked(config: Config, app: str) -> frozenset[str]:
    """Their ids."""
    try:
        return frozenset(_path(config, app).read_text().split())
    except FileNotFoundError:
        return frozenset()


def clear(config: Config, app: str) -> None:
    _path(config, app).unlink(missing_ok=True)


def _path(config: Config, app: str) -> Path:
    return config.run / "leaving" / app
