"""Where one build happens: runs the app's build steps with the app's own environment, user and time, live."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gitpaas import launch, linux, shell
from gitpaas.blame import blame, too_long
from gitpaas.config import Config
from gitpaas.errors import BuildFailed, CommandFailed, ToolFailed
from gitpaas.output import Output
from gitpaas.values import BuildRequest, Mount, revealed

_REMEMBERED = 200  # lines in which the cause of a failure is looked for
_TAIL = 15
_MOST_PROCESSES = 4096  # and threads, of one build
_NOISE = re.compile(r"\s*$|Using C?Python .* at: ")  # uv says it of each virtual environment, with our own paths
BASE_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Built:
    """What one kind of app brings to the artifact."""

    label: str
    processes: Mapping[str, str] = field(default_factory=dict)  # for an app without a Procfile
    path: tuple[str, ...] = ()  # directories of programs, in order, before the system's
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()


class Workshop:
    """`app` is the tree as the app will see it: /app inside a sandbox, else the tree's own path."""

    def __init__(self, config: Config, request: BuildRequest, out: Output) -> None:
        self.config = config
        self.request = request
        self.out = out
        self.tree = request.tree
        self.confined = request.uid is not None and linux.can_confine()
        self.app = "/app" if self.confined else str(request.tree)
        self.system_path = BASE_PATH if self.confined else config.environ.get("PATH", BASE_PATH)
        self._deadline = time.monotonic() + request.timeout
        self._limits = replace(request.limits, processes=request.limits.processes or _MOST_PROCESSES)
        self._downloads = self.make(request.cache / "downloads")

    def run(
        self,
        step: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        path: Sequence[str] = (),
        mounts: Sequence[Mount] = (),
    ) -> None:
        """One step in the tree, its lines shown as they come. BuildFailed names the step by `step`."""
        lines: deque[str] = deque(maxlen=_REMEMBERED)

        def show(line: str) -> None:
            lines.append(line)
            if not _NOISE.match(line):
                self.out.detail(line)

        try:
            whole = {**self._environment(path), **(env or {})}
            code = self._finish(argv, whole, mounts, show, timeout=self.left()).code
        except CommandFailed as error:
            if error.code == shell.TIMED_OUT:
                raise too_long(self.request.timeout, step, tuple(lines)) from error
            raise BuildFailed(error.message, step=step, tail=tuple(lines)[-_TAIL:], hint=error.hint) from error
        if self.confined and code == launch.FAILED:
            raise CommandFailed(f"{step} could not be started in its sandbox", code=code, tail=tuple(lines)[-_TAIL:])
        if code:
            raise blame(step, code, tuple(lines))

    def look(
        self, argv: Sequence[str], *, env: Mapping[str, str], mounts: Sequence[Mount], timeout: float
    ) -> shell.Finished:
        """Run a program of ours over the tree, which it cannot change, with `env` and nothing else of the build's.

        Its lines are not shown. ToolFailed without a sandbox, and when it cannot start or takes longer."""
        name = Path(argv[0]).name
        if not self.confined:
            raise ToolFailed(f"{name} needs a sandbox", "Run the server as root on Linux.")
        timeout = min(timeout, self.left())
        try:
            done = self._finish(argv, env, mounts, None, writable=False, timeout=timeout)
        except CommandFailed as error:
            slow = error.code == shell.TIMED_OUT
            raise ToolFailed(f"{name} took longer than {timeout:g} seconds" if slow else error.message) from error
        if done.code == launch.FAILED:
            raise ToolFailed(f"{name} could not be started in its sandbox: {' '.join(done.tail[-1:])}")
        return done

    def write(self, name: str, text: str) -> None:
        """A file of our own in the slug, written by the app's user: the app's code may have put links in its way."""
        script = 'mkdir -p "$(dirname "$0")" && printf %s "$1" > "$0"'
        self.run(f"writing {name}", ["/bin/sh", "-c", script, name, text])

    def left(self) -> float:
        """Seconds the build still has. BuildFailed when there are none."""
        if (left := self._deadline - time.monotonic()) > 0:
            return left
        raise too_long(self.request.timeout)

    def make(self, directory: Path) -> Path:
        """A directory that belongs to the app's user. Its parent is never one the app's own code can write in."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        if self.request.uid is not None:
            os.chown(directory, self.request.uid, self.request.uid, follow_symlinks=False)
        return directory

    def _finish(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        mounts: Sequence[Mount],
        show: Callable[[str], None] | None,
        *,
        timeout: float,
        writable: bool = True,
    ) -> shell.Finished:
        uid = self.request.uid
        if not self.confined or uid is None:
            return shell.run(argv, env=env, cwd=self.tree, timeout=timeout, on_line=show)
        downloads = same(self._downloads, writable=True)
        every = tuple(dict.fromkeys((downloads, *mounts)))
        sandbox = linux.Sandbox(uid, self.tree, writable=writable, mounts=every, limits=self._limits)
        with self._group() as group:
            # env looks along PATH as it is inside; the launcher itself has no business there.
            argv = linux.confine(["/usr/bin/env", *argv], sandbox, group=group)
            env = linux.carry(env)
            return shell.run(argv, env=env, timeout=timeout, on_line=show)

    @contextmanager
    def _group(self) -> Iterator[linux.Cgroup | None]:
        """Limits for all of a step's processes together, and the certainty that none outlives it."""
        group = linux.build_cgroup(self.request.tree)
        if group is not None:
            group.create(self._limits)
        try:
            yield group
        finally:
            linux.end_build(self.request.tree)  # what a step left running could still write where the next step reads

    def _environment(self, path: Sequence[str]) -> dict[str, str]:
        """Config vars, and over them what a build needs to be its own; nothing of the server's."""
        return revealed(self.request.env) | {
            "PATH": ":".join((*path, self.system_path)),
            "HOME": self.app,
            "LANG": "C.UTF-8",
            "SOURCE_VERSION": self.request.commit,  # Heroku's name for it
            "GIT_TERMINAL_PROMPT": "0",
            "UV_CACHE_DIR": str(self._downloads / "uv"),
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            # Across the mounts of a sandbox no file can be linked; a copy is also safe from what later builds write.
            **({"UV_LINK_MODE": "copy"} if self.confined else {}),
            "UV_COMPILE_BYTECODE": "1",  # what runs later cannot write beside its modules
            "npm_config_cache": str(self._downloads / "npm"),
            "npm_config_audit": "false",
            "npm_config_fund": "false",
            "npm_config_progress": "false",
            "npm_config_update_notifier": "false",
        }


def same(path: str | Path, *, writable: bool = False) -> Mount:
    """A host path shown at the very same path."""
    return Mount(str(path), str(path), writable)
