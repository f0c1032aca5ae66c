"""The room that everything takes on the disk, by app, and giving back what nobody needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gitpaas import locks, releases, shell
from gitpaas import tree as trees
from gitpaas.artifacts import Usage, usage_below
from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine import disk as engines
from gitpaas.errors import EngineFailed, ToolFailed
from gitpaas.platform import Platform
from gitpaas.releases import retention
from gitpaas.runtimes.records import Records
from gitpaas.store import App


@dataclass
class Taken:
    """What takes the room, and in sentences what cannot be told."""

    usages: list[Usage] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass
class Freed:
    """Bytes that were given back, by what they were; and in sentences what has to wait."""

    bytes: Counter[str] = field(default_factory=Counter)
    waits: list[str] = field(default_factory=list)


def usage(platform: Platform) -> Taken:
    """All of it. An engine that does not answer leaves the rest to be told."""
    taken, config = _kept(platform), platform.config
    taken.usages += usage_below(config.all_logs, "logs")
    taken.usages += usage_below(config.repos, "source")
    taken.usages += usage_below(config.all_volumes, "volumes")
    taken.usages.append(Usage(None, "toolchain", trees.taken(config.toolchain)))
    if _has_images(platform):
        from gitpaas.buildkit import BuildKit

        taken.usages.append(Usage(None, "build cache", BuildKit(config).cache_usage()))
        with suppress(EngineFailed):  # told of already: images are asked for first
            volumes = engines.volumes(Engine(config))
            taken.usages += [Usage(app, "volumes", count) for app, count in volumes.items()]
    taken.usages = [use for use in taken.usages if use.bytes]
    return taken


def prune(platform: Platform, app: App | None = None) -> Freed:
    """Free what nobody needs of one app, or of all and of what they share. Nothing of anybody else."""
    freed, before = Freed(), _total(_kept(platform))
    for one in [app] if app else list(App.select()):
        if not retention.prune(platform, one):
            freed.waits.append(f"{one.name} is being changed: its old releases stay for now.")
        if not _forget_downloads(platform, one):
            freed.waits.append(f"{one.name} is being built: its downloads stay for now.")
    freed.bytes += before - _total(_kept(platform))
    if app is None:
        freed.bytes["leftovers"] += sum(_remove(path) for path in _leftovers(platform.config))
        if _has_images(platform):
            _prune_cache(platform.config, freed)
    return freed


def _kept(platform: Platform) -> Taken:
    taken = Taken()
    for artifacts in platform.artifacts.values():
        try:
            taken.usages += artifacts.usage()
        except EngineFailed as error:
            taken.unknown.append(f"What {artifacts.kind}s take is not known: {error.message}.")
    return taken


def _total(taken: Taken) -> Counter[str]:
    total: Counter[str] = Counter()
    for use in taken.usages:
        total[use.what] += use.bytes
    return total


def _forget_downloads(platform: Platform, app: App) -> bool:
    """Package managers keep all that they ever fetched. No build begins while we take it away, and none may run."""
    cache = platform.config.cache(app.name)
    doomed = cache / ".downloads"
    shell.remove(doomed)
    with locks.held(platform.config.tickets_lock):
        if releases.unfinished(app):
            return False
        with suppress(FileNotFoundError):
            (cache / "downloads").rename(doomed)
    shell.remove(doomed)
    return True


def _leftovers(config: Config) -> Iterator[Path]:
    """Of what was killed half-way: apps that were being removed, and instances' scratch files without an instance."""
    for folder in (config.repos, config.all_slugs, config.all_caches):
        yield from folder.glob(".*")
    there = list((config.run / "scratch").glob("*"))  # before the records: a record comes first and goes last
    known = {record.id for record in Records(config.run / "instances").all()}
    yield from (path for path in there if path.name not in known)


def _remove(path: Path) -> int:
    size = trees.taken(path)
    return size if shell.remove(path) else 0


def _prune_cache(config: Config, freed: Freed) -> None:
    from gitpaas.buildkit import BuildKit

    try:
        freed.bytes["build cache"] += BuildKit(config).prune_cache()
    except (ToolFailed, EngineFailed) as error:
        freed.waits.append(f"{error.message}.")


def _has_images(platform: Platform) -> bool:
    return "image" in platform.artifacts
