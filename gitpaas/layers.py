"""Layers: installed dependencies, kept per app by the hash of what asked for them.

A layer is a directory `cache/layers/<name>` at its final path from the first moment on (a virtual environment
cannot be moved), and counts only when the file `<name>.complete` stands beside it. App code can write inside a
layer while that is being installed and never again, and never into `layers` itself: so what we remove and create
there by name cannot be a link to somewhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from gitpaas import locks, shell
from gitpaas.errors import GitpaasError
from gitpaas.values import Secret

_SPARE = 2  # unused layers that stay: a branch and back again installs nothing


def key(kind: str, *parts: bytes | str) -> str:
    """`kind-<hash of the parts>`; the same parts cut elsewhere make another hash."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return f"{kind}-{digest.hexdigest()[:20]}"


def digest(value: str | Secret) -> str:
    """A config var as part of a key: a change shows, the value does not."""
    text = value.reveal() if isinstance(value, Secret) else value
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def have(cache: Path, name: str) -> Path | None:
    """The complete layer of that name."""
    layer, marker = _paths(cache, name)
    if not marker.exists():
        return None
    marker.touch()  # used just now: prune() takes others first
    return layer


def is_whole(path: Path) -> bool:
    """Whether a directory is there, and complete where it is a layer."""
    return path.exists() and (path.parent.name != "layers" or path.with_name(f"{path.name}.complete").exists())


def install(lock: Path, cache: Path, name: str, make: Callable[[Path], Path], fill: Callable[[Path], None]) -> Path:
    """Make the layer: `make` creates the directory, `fill` installs into it. Whatever was left half-done goes first."""
    layer, marker = _paths(cache, name)
    layer.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with locks.held(lock):
        marker.unlink(missing_ok=True)
        _remove(layer)
        try:
            fill(make(layer))
        except BaseException:
            _remove(layer)
            raise
        marker.touch()
    return layer


def prune(cache: Path, keep: Iterable[str]) -> None:
    """Remove layers but those in `keep` (paths: the sources of kept artifacts' mounts) and the newest few others."""
    kept = set(keep)
    markers = sorted((cache / "layers").glob("*.complete"), key=lambda m: m.stat().st_mtime, reverse=True)
    unused = [marker for marker in markers if str(marker.with_suffix("")) not in kept]
    for marker in unused[_SPARE:]:
        marker.unlink()
        _remove(marker.with_suffix(""))


def _paths(cache: Path, name: str) -> tuple[Path, Path]:
    return cache / "layers" / name, cache / "layers" / f"{name}.complete"


def _remove(layer: Path) -> None:
    if not shell.remove(layer):
        raise GitpaasError(f"{layer} cannot be removed", "Look at the server's disk, then push again.")
