"""This process's own streams for a program that has them to itself: a terminal without its own ideas, or pipes."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from gitpaas.output import Terminal

_PIECE = 64 * 1024
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class OwnStreams:
    """output.Streams"""

    def __init__(self, terminal: Terminal | None, gone: Callable[[], bool]) -> None:
        self.terminal = terminal
        self._gone = gone
        self.on_resize: Callable[[int, int], None] = lambda columns, rows: None

    def read(self, timeout: float) -> bytes | None:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        return os.read(0, _PIECE) if poll.poll(1000 * timeout) else None

    def write(self, data: bytes, *, error: bool = False) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(2 if error else 1, left) :]
            except BlockingIOError:  # somebody has made it so, and it is shared
                _await_room(2 if error else 1)

    def require_reader(self) -> None:
        if self._gone():
            raise BrokenPipeError("nobody takes the output any more")

    def listen(self, on_resize: Callable[[int, int], None], on_signal: Callable[[int], None]) -> None:
        """Signals are for this process: ended by one it ends the program too."""
        self.on_resize = on_resize


@contextmanager
def own_streams(kind: str, gone: Callable[[], bool]) -> Iterator[OwnStreams]:
    """`kind` is TERM; `gone` tells whether nobody reads. For the main thread: SIGTERM and SIGHUP end the body as Ctrl-C
    does elsewhere."""
    with ExitStack() as stack:
        streams = OwnStreams(_size(kind) if os.isatty(0) and os.isatty(1) else None, gone)
        for number in _ENDING:
            stack.callback(signal.signal, number, signal.signal(number, _leave))
        if streams.terminal is not None:
            before = termios.tcgetattr(0)
            stack.callback(termios.tcsetattr, 0, termios.TCSADRAIN, before)
            tty.setraw(0)
            stack.callback(signal.signal, signal.SIGWINCH, signal.signal(signal.SIGWINCH, _teller(streams)))
        sys.stdout.flush()
        yield streams


def _leave(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _teller(streams: OwnStreams) -> Callable[[int, object], None]:
    def tell(number: int, frame: object) -> None:
        with suppress(OSError):
            size = os.get_terminal_size(0)
            streams.on_resize(size.columns, size.lines)

    return tell


def _size(kind: str) -> Terminal:
    size = os.get_terminal_size(0)
    return Terminal(kind, size.columns or 80, size.lines or 24)


def _await_room(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll(1000)
