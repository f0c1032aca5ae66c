"""Fetch, clone and archive: a bridge between the channel and git's own upload-pack."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from gitpaas.git.repository import HIDDEN
from gitpaas.ssh.children import git_env
from gitpaas.ssh.transport import Pipe

_PIECE = 32_000  # one packet
_CHUNK = 1024 * 1024
_PATIENCE = 600  # seconds that git waits for a silent client
_PARTIAL = ("uploadpack.allowFilter", "true")


def serve(channel: Channel, service: str, repository: Path, protocol: str | None) -> int:
    """Run `git upload-pack` (or upload-archive) to its end; its exit status."""
    with _started(_command(service, repository), _environment(protocol)) as process:
        stdin, stdout, stderr = (cast(IO[bytes], pipe) for pipe in (process.stdin, process.stdout, process.stderr))
        pumps = [
            threading.Thread(target=_pump_in, args=(channel, stdin), daemon=True),
            threading.Thread(target=_pump_out, args=(stderr, channel.sendall_stderr), daemon=True),
        ]
        for pump in pumps:
            pump.start()
        _pump_out(stdout, channel.sendall)
        stdout.close()  # a client that has gone: git notices
        pumps[1].join()
        code = process.wait()
        cast(Pipe, channel.in_buffer).interrupt()
        pumps[0].join()
    return 128 if code < 0 else code


def _command(service: str, repository: Path) -> list[str]:
    options = ["--strict", f"--timeout={_PATIENCE}"] if service == "upload-pack" else []
    return ["git", service, *options, str(repository)]


def _environment(protocol: str | None) -> dict[str, str]:
    env = git_env([_PARTIAL, *(("transfer.hideRefs", prefix.rstrip("/")) for prefix in HIDDEN)])
    return env if protocol is None else {**env, "GIT_PROTOCOL": protocol}


@contextmanager
def _started(argv: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with suppress(OSError):
                cast(IO[bytes], pipe).close()


def _pump_in(channel: Channel, stdin: IO[bytes]) -> None:
    """What the client says, until it has said all or git listens no more."""
    with suppress(OSError, EOFError, SSHException):
        while data := channel.recv(_CHUNK):
            _write_all(stdin, data)
    with suppress(OSError):
        stdin.close()


def _pump_out(source: IO[bytes], send: Callable[[bytes], object]) -> None:
    """What git says, until it has said all or nobody listens any more."""
    with suppress(OSError, EOFError, SSHException):
        while data := os.read(source.fileno(), _PIECE):
            send(data)


def _write_all(pipe: IO[bytes], data: bytes) -> None:
    """Straight into the pipe: no copy in a buffer of Python's. BrokenPipeError when nobody reads."""
    left = memoryview(data)
    while left:
        left = left[os.write(pipe.fileno(), left) :]
