"""BuildKit as its users see it: a build becomes an image in the engine, with its steps shown as they run."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitpaas import locks, shell
from gitpaas import tree as trees
from gitpaas.blame import too_long
from gitpaas.buildkit import client, delivery
from gitpaas.buildkit.client import DESK, Place
from gitpaas.buildkit.daemon import Daemon
from gitpaas.buildkit.delivery import Delivery
from gitpaas.buildkit.job import Job
from gitpaas.buildkit.plan import SOCKET
from gitpaas.buildkit.progress import Progress
from gitpaas.buildkit.trouble import Trouble, explain
from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.errors import CommandFailed, EngineFailed, ToolFailed
from gitpaas.output import Output
from gitpaas.toolchain import Toolchain

_log = logging.getLogger(__name__)

_PAUSES = (2.0, 5.0)  # seconds before the second and the third try, when what went wrong may pass
_IDLE = 600.0  # seconds
_CREDENTIALS = "config.json"
_POLICY = "policy.json"
_PRUNE = 600.0  # seconds
_MOMENTS = 1_000_000  # nanoseconds, far below what makes a file older or newer


class BuildKit:
    """BuildKit of one state directory. Its daemon is started by whoever builds first, and outlives that."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._toolchain = Toolchain(config)
        self._daemon = Daemon(config, self._toolchain)

    def build(self, job: Job, out: Output) -> str:
        """The id of the image in the engine, where it is called `job.name` and labelled.

        BuildFailed names the step and has its last lines; ToolFailed and EngineFailed are not the app's fault."""
        _warm_up(self._config)
        try:
            return self._build(job, out, time.monotonic() + job.timeout)
        except OSError as error:
            raise ToolFailed(f"The build cannot be prepared: {error}") from error

    def _build(self, job: Job, out: Output, deadline: float) -> str:
        with self._desk(job) as desk:
            way = delivery.choose(self._config, job, desk, self._daemon.uid)
            self._solve(job, way, desk, out, deadline)
            while (image := way.deliver()) is None:
                _log.info("%s is asked for once more: a layer that was left out has gone from the engine", job.name)
                self._solve(job, way, desk, Output(), deadline)
            return image

    def missing(self) -> list[str]:
        """What this machine lacks for builds that are capped and kept apart, in sentences; for `doctor`."""
        return self._daemon.missing()

    def rest(self, idle: float = _IDLE) -> bool:
        """Stop the daemon when nobody has built for `idle` seconds. Cheap enough for every few seconds."""
        return self._daemon.rest(idle)

    def stop(self) -> None:
        """End the daemon, with the builds under way. Safe when none runs."""
        self._daemon.stop()

    def pid(self) -> int | None:
        """The daemon's, when one runs."""
        return self._daemon.pid()

    def cache_usage(self) -> int:
        """Bytes that the cache takes on the disk. Starts no daemon."""
        return trees.size(self._config.buildkit / "root")

    def prune_cache(self) -> int:
        """Empty the cache of what no build uses just now. Bytes freed."""
        before = self.cache_usage()
        if not before:
            return 0
        argv = [str(self._toolchain.path("buildctl")), f"--addr=unix:///proc/self/cwd/{SOCKET}", "prune", "--all"]
        with self._daemon.in_use():
            try:
                shell.capture(argv, env={"PATH": os.defpath}, cwd=self._daemon.folder, timeout=_PRUNE)
            except CommandFailed as error:
                raise ToolFailed(f"The build cache cannot be pruned: {error.message}") from error
        return max(0, before - self.cache_usage())

    def _solve(self, job: Job, way: Delivery, desk: Path, out: Output, deadline: float) -> None:
        """Until it succeeds, fails for good, or has failed too often for a reason that may pass."""
        for number, pause in enumerate((*_PAUSES, None), 1):
            trouble = self._try(job, way, desk, out, deadline)
            if trouble is None:
                return
            if not trouble.passing or pause is None or time.monotonic() + pause > deadline:
                for line in trouble.unseen:
                    out.detail(line)
                raise trouble.error
            out.detail(f"{trouble.error.message}")
            out.detail(f"Trying again in {pause:g} s ({number} of {len(_PAUSES)})")
            time.sleep(pause)

    def _try(self, job: Job, way: Delivery, desk: Path, out: Output, deadline: float) -> Trouble | None:
        progress = Progress(out)
        buildctl = self._toolchain.path("buildctl", out.detail)
        place = Place(buildctl, self._daemon.folder, desk, self._daemon.uid)
        argv = client.arguments(job, way.output(), f"--source-policy-file={DESK}/{_POLICY}")
        env = client.environment(job, self._config.build_environment())
        try:
            with self._daemon.in_use(out.detail):
                code = client.run(job, argv, env, place, deadline - time.monotonic(), progress.feed)
        except CommandFailed as error:
            step = progress.current
            raise (too_long(job.timeout, step.name, tuple(step.lines)) if step else too_long(job.timeout)) from error
        finally:
            progress.finish()
        return explain(progress) if code else None

    @contextmanager
    def _desk(self, job: Job) -> Iterator[Path]:
        """A directory for this build alone, the daemon's user's; and one of a killed build goes first."""
        desks, uid = self._config.buildkit / "desks", self._daemon.uid
        for folder in (self._config.buildkit, desks):
            folder.mkdir(exist_ok=True, mode=0o700)
        _sweep(desks)
        desk = desks / f"{job.app}-{job.build}"
        lock = desk.with_suffix(".lock")
        with locks.held(lock):
            shell.remove(desk)
            desk.mkdir(mode=0o700)
            try:
                self._lay_out(job, desk, uid)
                yield desk
            finally:
                shell.remove(desk)
                lock.unlink(missing_ok=True)

    def _lay_out(self, job: Job, desk: Path, uid: int) -> None:
        """Credentials for registries, what is forbidden, and the eyes of buildctl's user opened for the tree, which
        nobody else gets to: it lies in the state directory."""
        credentials = self._config.registry_credentials / _CREDENTIALS
        if credentials.exists():
            _give(desk / _CREDENTIALS, credentials.read_bytes(), uid)
        _give(desk / _POLICY, json.dumps(client.policy(job, self._config.image_registry)).encode(), uid)
        os.chown(desk, uid, uid)
        for path in {job.tree, job.definition}:
            path.chmod(path.stat().st_mode | 0o055)
        _tell_apart(job)


def _warm_up(config: Config) -> None:
    """Import the engine's library while BuildKit works: it takes as long as many a build."""

    def connect() -> None:
        engine = Engine(config)
        with suppress(EngineFailed), engine.calls("connecting"):
            engine.api.ping()

    threading.Thread(target=connect, daemon=True).start()


def _give(path: Path, content: bytes, uid: int) -> None:
    """A file for that user's eyes."""
    path.write_bytes(content)
    os.chown(path, uid, uid)
    path.chmod(0o400)


def _tell_apart(job: Job) -> None:
    """Have no file the moment of change of another build's.

    BuildKit keeps one copy of the sources of all builds, and takes over only files whose path, size or moment differ:
    two trees exported in the same tick of the clock could get each other's. What is in a file decides what is cached,
    so a moment costs nothing there."""
    for root in {job.tree, job.definition}:
        for entry in trees.everything(root):
            moment = entry.stat(follow_symlinks=False).st_mtime_ns
            moment += job.build % _MOMENTS - moment % _MOMENTS
            os.utime(entry.path, ns=(moment, moment), follow_symlinks=False)


def _sweep(desks: Path) -> None:
    """What killed builds have left."""
    for lock in desks.glob("*.lock"):
        with locks.held(lock, wait=False) as is_free:
            if is_free:
                shell.remove(lock.with_suffix(""))
                lock.unlink(missing_ok=True)
