"""buildkitd as a child that outlives us: started by who builds first, found again by the lock it holds.

Who builds shares a second lock: as long as somebody has that, nobody stops the daemon, be it for changed settings or
for want of work.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gitpaas import linux, locks
from gitpaas.buildkit import network as networks
from gitpaas.buildkit.plan import SOCKET, Plan, Planner
from gitpaas.config import Config
from gitpaas.errors import ToolFailed
from gitpaas.linux import Cgroup
from gitpaas.longlived import LongLived, output
from gitpaas.toolchain import Toolchain
from gitpaas.values import Limits

_log = logging.getLogger(__name__)

_READY = 60.0  # seconds until a new one must accept; it takes about one
_GOODBYE = 10.0  # seconds between SIGTERM and SIGKILL
_PATIENCE = 1.0  # seconds until it must answer
_LOG_LIMIT = 1024 * 1024
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # RFC 9113, 3.4: and settings, none

# The shell leaves its pid, which is buildkitd's after exec, in the lock file and joins the groups named before `--`.
_LAUNCH = (
    'echo "$$" >"$0"; while [ "$1" != -- ]; do echo "$$" >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"'
)
_APART = ("/bin/sh", "-c", '"$@" &', "sh")  # nobody's child: we do not stay to see its end


class Daemon:
    """The one buildkitd of a state directory. Any process may use it or stop it."""

    def __init__(self, config: Config, toolchain: Toolchain) -> None:
        self._config = config
        self._toolchain = toolchain
        self._planner = Planner(config)
        self._running = LongLived(config.buildkit_lock)
        self._turn = config.locks / "buildkit-turn"
        self._work = config.locks / "buildkit-work"
        self._log = config.buildkit / "buildkitd.log"

    @property
    def folder(self) -> Path:
        """The directory of its socket, SOCKET."""
        return self._config.buildkit / "run"

    @property
    def uid(self) -> int:
        """Who may use the socket besides root."""
        return self._planner.uid

    @contextmanager
    def in_use(self, on_line: Callable[[str], None] | None = None) -> Iterator[None]:
        """Within it a daemon runs, with today's settings unless others are building with yesterday's. ToolFailed.

        `on_line` is told when tools are installed first."""
        path, binary = _with_sbin(self._toolchain.search_path(on_line)), self._toolchain.path("buildkitd", on_line)
        with ExitStack() as stack:
            with locks.held(self._turn):
                self._bring_up(binary, path)
                stack.enter_context(locks.shared(self._work))
            try:
                yield
            finally:
                os.utime(self._work)

    def rest(self, idle: float) -> bool:
        """Stop it when nobody has built for `idle` seconds: it takes some 60 MB. Whether it was stopped."""
        if not self._running.is_running() or time.time() < self._last_use() + idle:
            return False
        with locks.held(self._turn, wait=False) as is_ours:
            return is_ours and self._stop_if_unused()

    def stop(self) -> None:
        """End it, with the builds that use it. Safe when none runs."""
        # A step may hold the lock as well.
        if not self._running.end(_GOODBYE, killed=self._end_steps):
            raise ToolFailed("buildkitd does not end", f"See what holds {self._running.lock}")
        self._end_steps()
        networks.forget(self._config, self._path)

    def pid(self) -> int | None:
        """The running one's, whoever started it."""
        return self._running.pid()

    def missing(self) -> list[str]:
        """What this machine lacks for builds that are capped and kept apart, in sentences. Starts nothing."""
        return self._planner.missing(self._path)

    def _bring_up(self, binary: Path, path: str) -> None:
        """For who has the turn."""
        plan = self._planner.plan(binary, path)
        if self._await_ready():
            if self._started_with() == plan.toml or not self._stop_if_unused():
                return
            _log.info("buildkitd is started again with changed settings")
        else:
            self.stop()
        try:
            self._launch(plan)
        except ToolFailed as error:
            if plan.network.mode == "host":
                raise
            _log.warning("buildkitd cannot make its bridge: %s", error)
            self._planner.refuse(plan.network, error.message)
            self._launch(self._planner.plan(binary, path))

    def _stop_if_unused(self) -> bool:
        with locks.held(self._work, wait=False) as is_idle:
            if is_idle:
                self.stop()
            return is_idle

    def _launch(self, plan: Plan) -> None:
        groups = self._prepare(plan)
        # Mounts of its own go with it, even when it is killed.
        mounts = ["unshare", "--mount"] if shutil.which("unshare", path=plan.env["PATH"]) else []
        with self._running.taken() as lock, output(self._log, _LOG_LIMIT) as said:
            subprocess.run(
                [*_APART, "/bin/sh", "-c", _LAUNCH, str(self._running.lock), *groups, "--", *mounts, *plan.argv],
                cwd=self.folder,
                env=dict(plan.env),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                pass_fds=(lock,),
                check=True,
            )
        if not self._await_ready():
            self.stop()
            raise ToolFailed(f"buildkitd does not start: {self._last_words()}", f"Its log is {self._log}")
        _log.info("buildkitd runs (pid %s)", self.pid())

    def _prepare(self, plan: Plan) -> list[str]:
        """Directories, settings and rules as the daemon must find them. The groups to start it in."""
        self._config.buildkit.mkdir(exist_ok=True, mode=0o700)
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711)
        (self.folder / SOCKET).unlink(missing_ok=True)
        fresh = self._planner.file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(plan.toml)
        fresh.rename(self._planner.file)
        networks.keep_from_apps(plan.network, self._config, plan.env["PATH"])
        return _capped(plan.group, plan.limits) if plan.group else []

    def _end_steps(self) -> None:
        """A killed daemon leaves the steps it had started."""
        if group := self._planner.group():
            group.kill()
            linux.everywhere(group).remove()

    def _await_ready(self) -> bool:
        """Whether one runs and answers; with patience for one that does not yet."""
        deadline = time.monotonic() + _READY
        while time.monotonic() < deadline and self._running.is_running():
            if self._answers():
                return True
            time.sleep(0.01)
        return False

    def _answers(self) -> bool:
        """It listens long before it answers, and in between it may yet fail (when it makes its bridge, say)."""
        try:
            folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            try:
                connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")  # the path of a socket has 107 bytes at most
                connection.sendall(_HELLO)
                return bool(connection.recv(1))
            except OSError:
                return False
            finally:
                os.close(folder)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def _started_with(self) -> str:
        try:
            return self._planner.file.read_text()
        except OSError:
            return ""

    def _last_use(self) -> float:
        try:
            return self._work.stat().st_mtime
        except OSError:
            return 0.0

    @property
    def _path(self) -> str:
        return _with_sbin(self._config.environ.get("PATH", os.defpath))


def _with_sbin(path: str) -> str:
    """Where iptables and ip are, which not every PATH has."""
    return f"{path}:/usr/local/sbin:/usr/sbin:/sbin"


def _capped(group: Cgroup, limits: Limits) -> list[str]:
    """Make the group, and one below it for the daemon itself: v2 wants processes in leaves only, and runc makes the
    others. Where the machine refuses builds go on without limits, as `missing` tells."""
    try:
        group.create(limits)
        own = Cgroup(group.version, tuple(path / "daemon" for path in group.paths))
        own.create(Limits())
    except OSError as error:
        _log.warning("image builds are not limited: %s", error)
        return []
    return [str(path) for path in own.paths]
