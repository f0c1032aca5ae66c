"""One build: `buildctl` asks our daemon, its steps are shown as they run, and the image arrives in the engine."""

from __future__ import annotations

from gitpaas.buildkit.job import Job
from gitpaas.config import Config
from gitpaas.output import Output


class BuildKit:
    """BuildKit of one state directory. Its daemon is started by whoever builds first, and outlives that."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def build(self, job: Job, out: Output) -> str:
        """The id of the image in the engine, where it is called `job.name` and labelled.

        BuildFailed names the step and has its last lines; ToolFailed and EngineFailed are not the app's fault."""
        raise NotImplementedError

    def missing(self) -> list[str]:
        """What this machine lacks for builds that are capped and kept apart, in sentences; for `doctor`."""
        raise NotImplementedError

    def cache_usage(self) -> int:
        """Bytes that the cache takes on the disk. Starts no daemon."""
        raise NotImplementedError

    def prune_cache(self) -> int:
        """Empty the cache of what no build uses just now. Bytes freed."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the daemon. Safe when none runs."""
        raise NotImplementedError
