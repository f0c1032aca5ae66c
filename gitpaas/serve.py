"""The server: SSH, router, reconcile and log collection in one process, until it is told to end."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gitpaas import daemon, events, locks, logs, ports, upgrade
from gitpaas.config import Config
from gitpaas.cron.scheduler import Scheduler
from gitpaas.errors import Conflict
from gitpaas.git import repository
from gitpaas.instances.reconcile import Reconciler
from gitpaas.output import Console
from gitpaas.platform import Platform, build_platform, choose
from gitpaas.router.certificates import FailureWatch
from gitpaas.store import App
from gitpaas.values import Actor

if TYPE_CHECKING:
    from gitpaas.buildkit import BuildKit

_log = logging.getLogger(__name__)

_FILES = 65_536  # open ones that are enough
_TICK = 1.0  # seconds between two looks at everything
_REST = 20.0  # seconds between two looks at whether BuildKit has work
_HOUR = 3600.0
_FAREWELL = 5.0  # seconds that the loops get to end a round together; each is safe to be cut off in

Loop = tuple[Callable[[], object], Callable[[], object]]  # what is repeated, and the pause after it
Execute = Callable[[Platform, Sequence[str], Actor, Console], int]


def serve(config: Config, execute: Execute) -> None:
    """Run in the foreground until SIGTERM or SIGINT. Apps keep running afterwards; the router stops with the server.

    SIGUSR1 ends the server alone: the router goes on, and the next server takes it over."""
    from gitpaas.router.process import CaddyProcess
    from gitpaas.ssh.server import SshServer

    program = upgrade.stamp()
    _open_many_files()
    stopping = threading.Event()
    received: list[int] = []

    def end(number: int, _frame: object) -> None:
        received.append(number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT, daemon.HAND_OVER):
        signal.signal(number, end)
    with ExitStack() as stack:
        platform = build_platform(config)
        stack.enter_context(_only_server(config))
        stack.callback(platform.store.close)
        _log_to_stderr(config)
        _refresh_hooks(platform)
        ports.require(config.bind, config.ssh_port, "GITPAAS_SSH_PORT")
        tell = partial(logs.platform_line, config)
        reconciler, scheduler = Reconciler(platform, tell), Scheduler(platform, tell)
        reconciler.run_once()
        caddy = CaddyProcess(config)
        caddy.start()
        stack.callback(lambda: None if daemon.HAND_OVER in received else caddy.stop())
        ssh = SshServer(platform, lambda argv, actor, console: execute(platform, argv, actor, console))
        ssh.start()
        stack.callback(ssh.stop)
        stack.enter_context(platform.runtime.attend())
        buildkit = _buildkit(config)
        stack.callback(lambda: buildkit.rest(0) if buildkit and daemon.HAND_OVER not in received else None)
        stack.enter_context(_loops(platform, reconciler, scheduler, caddy.check, buildkit, stopping))
        record = _announce(config, ssh.port, program)
        stack.callback(record.unlink, missing_ok=True)
        stopping.wait()
        _log.info("stopping; apps keep running")


def _open_many_files() -> None:
    """As many as we may: each session takes some, and a login shell's limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _only_server(config: Config) -> Iterator[None]:
    """One server per state directory. The lock file holds its pid, for the refusal and for `stop`."""
    path = daemon.lock_path(config)
    with locks.held(path, wait=False, patience=0.3) as mine:
        if not mine:
            raise Conflict(
                f"A server (pid {path.read_text().strip()}) already runs on {config.home}.",
                "Stop it first: gitpaas stop. Or give this one a GITPAAS_HOME of its own.",
            )
        path.write_text(f"{os.getpid()}\n")
        yield


@contextmanager
def _loops(
    platform: Platform,
    reconciler: Reconciler,
    scheduler: Scheduler,
    check_router: Callable[[], None],
    buildkit: BuildKit | None,
    stopping: threading.Event,
) -> Iterator[None]:
    """Threads that keep things as intended, until the body ends."""
    collector = logs.Collector(platform.config, platform.runtime.survey)
    work: dict[str, Loop] = {
        "reconcile": (reconciler.run_once, lambda: platform.runtime.wait_for_exit(reconciler.rest)),
        "router": (check_router, lambda: stopping.wait(0.2)),
        "logs": (collector.collect_once, lambda: stopping.wait(0.2)),
        "cron": (scheduler.run_once, lambda: stopping.wait(_TICK)),
        "events": (lambda: _trim_events(platform), lambda: stopping.wait(_HOUR)),
    }
    if platform.config.https_port:
        work["certificates"] = FailureWatch(platform.config).run_once, lambda: stopping.wait(_TICK)
    if buildkit:
        work["buildkit"] = buildkit.rest, lambda: stopping.wait(_REST)
    threads = [
        threading.Thread(target=_repeat, args=(name, *steps, stopping), name=name, daemon=True)
        for name, steps in work.items()
    ]
    with closing(_wake_socket(platform.config)) as poke:
        threads.append(
            threading.Thread(target=_pass_on, args=(poke, platform.runtime.wake, stopping), name="wake", daemon=True)
        )
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            platform.runtime.wake()
            deadline = time.monotonic() + _FAREWELL
            for thread in threads:
                thread.join(timeout=max(0.0, deadline - time.monotonic()))


def _buildkit(config: Config) -> BuildKit | None:
    """To be stopped when nobody has built for a while, since it takes memory. The next build starts it again."""
    if choose(config).name == "host" and not locks.is_held(config.buildkit_lock):  # of a time with another runtime
        return None
    from gitpaas.buildkit import BuildKit

    return BuildKit(config)


def _trim_events(platform: Platform) -> None:
    with platform.store.session():
        events.trim(platform.config.keep_events)


def _repeat(name: str, step: Callable[[], object], pause: Callable[[], object], stopping: threading.Event) -> None:
    """A round that fails is logged; the next one comes all the same."""
    while not stopping.is_set():
        try:
            step()
        except Exception:
            _log.exception("%s failed", name)
            stopping.wait(1)
        pause()


def _wake_socket(config: Config) -> socket.socket:
    path = config.run / "wake"
    path.unlink(missing_ok=True)
    poke = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    poke.bind(str(path))
    poke.settimeout(0.5)
    return poke


def _pass_on(poke: socket.socket, wake: Callable[[], None], stopping: threading.Event) -> None:
    while not stopping.is_set():
        with suppress(TimeoutError):
            poke.recv(16)
            wake()


def _announce(config: Config, ssh_port: int, program: str) -> Path:
    """All doors are open: say so on stdout, and in a record for `status`."""
    doors = {"ssh": f"{config.bind}:{ssh_port}", "http": f"{config.bind}:{config.http_port}"}
    doors |= {"https": f"{config.bind}:{config.https_port}"} if config.https_port else {}
    record = {"pid": os.getpid(), **doors, "since": time.time(), "program": program}
    path = config.server_record
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(record))
    fresh.rename(path)
    sys.stdout.write(f"ready {' '.join(f'{name}={address}' for name, address in doors.items())}\n")
    sys.stdout.flush()
    return path


def _refresh_hooks(platform: Platform) -> None:
    """Repositories find this program and the state directory even after these moved, or after an upgrade."""
    with platform.store.session():
        for app in App.select(App.name):
            path = platform.config.repository(app.name)
            if path.exists() and not repository.hook_is_current(path, platform.config.home):
                repository.install_hook(path, platform.config.home)


def _log_to_stderr(config: Config) -> None:
    level = getattr(logging, config.log_level.upper(), logging.INFO)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL if level > logging.DEBUG else logging.DEBUG)
    logging.getLogger("dulwich").setLevel(logging.WARNING)
