"""The console script: settings once, the terminal as a Console, one command, its exit code."""

from __future__ import annotations

import os
import select
import sys
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, BinaryIO

from gitpaas import config as settings
from gitpaas.commands import known
from gitpaas.commands.call import Call
from gitpaas.commands.dispatch import dispatch
from gitpaas.commands.door import guarded
from gitpaas.config import Config
from gitpaas.output import Console, Streams
from gitpaas.values import Actor

if TYPE_CHECKING:
    from gitpaas.platform import Platform

_WIDE = 10_000  # a file or a pipe: nothing needs to be cut


def main() -> None:
    raise SystemExit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run one command at this machine's shell and return its exit code."""
    console = terminal()
    config: Config | None = None

    def load() -> int:
        nonlocal config
        config = settings.load()
        return 0

    code = guarded(None, console, load)
    if config is not None:
        code = guarded(config, console, lambda: _dispatch(config, argv, console))
    return _flushed(code)


def terminal() -> Console:
    """This process's own streams."""
    return Console(
        out=lambda text: _write(sys.stdout.buffer, text),
        err=lambda text: _write(sys.stderr.buffer, text),
        read=lambda: sys.stdin.buffer.read(),
        gone=_reader_is_gone,
        width=_width(),
        tty=sys.stdin.isatty() and sys.stdout.isatty(),
        streams=_streams,
    )


def _dispatch(config: Config, argv: list[str], console: Console) -> int:
    who = config.environ.get("SUDO_USER") or config.environ.get("USER") or "operator"
    actor = Actor(who, "admin")
    with Call(config, lambda: _platform(config), actor, console) as call:
        return dispatch(known(argv), argv or ["help"], call)


def _platform(config: Config) -> Platform:
    from gitpaas.platform import build_platform

    return build_platform(config)


def _write(stream: BinaryIO, text: str) -> None:
    stream.write(text.encode("utf-8", "replace"))
    stream.flush()


def _reader_is_gone() -> bool:
    """Whether the other end of our output pipe is closed: `gitpaas logs APP -t | head` must end."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & (select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))


def _streams() -> AbstractContextManager[Streams]:
    from gitpaas.terminal import own_streams  # late: few commands want them

    return own_streams(settings.terminal_kind(), _reader_is_gone)


def _width() -> int:
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    return _WIDE


def _flushed(code: int) -> int:
    """Python flushes at exit and complains of a closed pipe: give it another place to flush to."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
