"""Room on the disks that builds write to: known before a build starts, not from what breaks when it ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine.disk import directory
from gitpaas.errors import GitpaasError
from gitpaas.output import amount


@dataclass(frozen=True)
class Disk:
    """One filesystem; `path` is what of ours is on it."""

    path: Path
    free: int  # bytes
    size: int


def require_room(config: Config, *, images: bool) -> None:
    """GitpaasError when less than the setting min_free_disk is free. `images`: Docker Engine's disk counts too."""
    for disk in disks(config, images=images):
        if disk.free < config.min_free_disk:
            raise GitpaasError(
                f"There is too little room to build: {amount(disk.free)} are free on the disk of {disk.path}, "
                f"and {amount(config.min_free_disk)} must be (min_free_disk).",
                "What takes it: ssh paas disk. To free some: ssh paas disk:prune",
            )


def disks(config: Config, *, images: bool) -> list[Disk]:
    """The filesystems that artifacts are on, each once."""
    seen: dict[int, Disk] = {}
    for path in _places(config, images):
        usage = shutil.disk_usage(path)
        seen.setdefault(path.stat().st_dev, Disk(path, usage.free, usage.total))
    return list(seen.values())


def _places(config: Config, images: bool) -> Iterator[Path]:
    yield config.home
    if images and (engines := directory(Engine(config))):
        yield engines
