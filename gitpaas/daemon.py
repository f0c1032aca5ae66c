"""The server seen from outside: start it in the background, stop it, replace it, ask after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitpaas import locks, ports, upgrade
from gitpaas.config import Config
from gitpaas.errors import GitpaasError
from gitpaas.linux import Process, processes
from gitpaas.platform import choose, make_runtime

HAND_OVER = signal.SIGUSR1  # end, and leave the router to the next server: no request is lost meanwhile

_READY = 30.0  # seconds that `start` waits for the ready line
_GOODBYE = 20.0  # seconds that `stop` waits
_LAST_MOMENT = 3.0


@dataclass(frozen=True)
class DaemonStatus:
    """What `status` tells. Addresses are host:port; None where nothing runs."""

    running: bool
    pid: int | None
    ssh: str | None
    http: str | None
    since: float | None
    missing: tuple[str, ...]
    https: str | None = None  # None as well where there is no HTTPS
    outdated: bool = False  # the program was changed since it began


def start(config: Config) -> DaemonStatus:
    """Start `serve` in the background and wait until it accepts. Running already is fine."""
    if (now := status(config)).running:
        return now
    log = config.run / "serve.log"
    config.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab", buffering=0) as out:
        log.chmod(0o600)
        begin = out.tell()
        child = subprocess.Popen(
            [sys.executable, "-I", "-m", "gitpaas", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=dict(config.environ),
            cwd="/",
        )
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline:
        if (now := status(config)).running and now.pid == child.pid:
            return now
        if child.poll() is not None:
            break
        time.sleep(0.05)
    said = log.read_bytes()[begin:].decode("utf-8", "replace").replace(" !     ", "").strip()
    raise GitpaasError(f"The server did not start.\n{said[-2000:]}".strip(), f"Its log: {log}")


def stop(config: Config, *, apps: bool = False) -> bool:
    """End the server and the router, and with `apps` every instance and BuildKit too. False when no server ran."""
    pid = _server_pid(config)
    process = processes.find(pid) if pid else None
    stopped = _end_server(config, signal.SIGTERM)
    if process:
        _await_last_moment(process)
    if apps:
        _stop_instances(config)
        _stop_buildkit(config)
    return stopped


def restart(config: Config) -> DaemonStatus:
    """A new server in place of the running one. Apps and router go on, so no request is lost."""
    require_ports(config)
    _end_server(config, HAND_OVER)
    return start(config)


def status(config: Config) -> DaemonStatus:
    """Whether a server runs on this state directory, where it listens, and what this machine lacks."""
    missing = tuple(make_runtime(config).missing())
    pid = _server_pid(config)
    try:
        record = json.loads(config.server_record.read_text()) if pid else None
    except (OSError, ValueError):
        record = None
    if record is None or record["pid"] != pid:
        return DaemonStatus(False, pid, None, None, None, missing)
    doors = record["ssh"], record["http"]
    return DaemonStatus(True, pid, *doors, record["since"], missing, record.get("https"), upgrade.has_come(config))


def require_ports(config: Config) -> None:
    """Conflict when somebody else has a port that the running server does not listen on so far: the next one would not
    start, and this one would be gone."""
    now = status(config)
    held = {address.rpartition(":")[2] for address in (now.ssh, now.http, now.https) if address}
    for port, setting in ((config.ssh_port, "GITPAAS_SSH_PORT"), *config.router_ports()):
        if now.running and str(port) not in held:
            ports.require(config.bind, port, setting)


def lock_path(config: Config) -> Path:
    """Held by the server for as long as it lives; its pid is in it."""
    return config.locks / "server"


def _server_pid(config: Config) -> int | None:
    path = lock_path(config)
    if not path.exists() or not locks.is_held(path):
        return None
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _end_server(config: Config, number: signal.Signals) -> bool:
    pid = _server_pid(config)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    _await_end(config, pid)
    return True


def _await_end(config: Config, pid: int) -> None:
    deadline = time.monotonic() + _GOODBYE
    while locks.is_held(lock_path(config)):
        if time.monotonic() > deadline:
            hint = f"To end it all the same: kill -9 {pid}. Apps keep running."
            raise GitpaasError(f"The server (pid {pid}) has not ended within {_GOODBYE:.0f} s.", hint)
        time.sleep(0.05)


def _await_last_moment(server: Process) -> None:
    """It lets go of its lock a little before it is gone."""
    deadline = time.monotonic() + _LAST_MOMENT
    while server.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)


def _stop_instances(config: Config) -> None:
    """All of them at the same time: each may take its grace. EngineFailed when some cannot be seen."""
    runtime = make_runtime(config)
    seen = runtime.survey()
    threads = [threading.Thread(target=runtime.stop, args=(instance, config.stop_grace)) for instance in seen.instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if seen.unseen:
        runtime.running()  # says why


def _stop_buildkit(config: Config) -> None:
    # One may run where the runtime is another one by now.
    if choose(config).name == "docker" or locks.is_held(config.buildkit_lock):
        from gitpaas.buildkit import BuildKit

        BuildKit(config).stop()
