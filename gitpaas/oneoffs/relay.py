"""Between a person's streams and a program's: bytes both ways, each side waits for the other, until one ends."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress

from gitpaas.errors import OutOfTime
from gitpaas.output import Streams
from gitpaas.runtimes import Attached

_LOOK = 0.25  # seconds between two looks at whether the person is still there
_MOST_SIGNALS = 16  # that wait to be passed on


def relay(program: Attached, streams: Streams, timeout: float | None = None) -> int:
    """The program's exit code. ConnectionError when the person has left, OutOfTime after `timeout` seconds: in both
    cases it still runs."""
    orders = _Orders(program)
    done = threading.Event()
    threads = (
        threading.Thread(target=_feed, args=(program, streams, done), name="relay", daemon=True),
        threading.Thread(target=orders.pass_on, name="relay orders", daemon=True),
    )
    for thread in threads:
        thread.start()
    streams.listen(orders.resize, orders.send)
    try:
        return _follow(program, streams, timeout)
    finally:
        done.set()
        orders.end()


class _Orders:
    """New sizes and signals come on threads that must not wait; passing them on may take a moment."""

    def __init__(self, program: Attached) -> None:
        self._program = program
        self._size: tuple[int, int] | None = None
        self._signals: deque[int] = deque(maxlen=_MOST_SIGNALS)
        self._is_over = False
        self._news = threading.Event()

    def resize(self, columns: int, rows: int) -> None:
        self._size = columns, rows
        self._news.set()

    def send(self, number: int) -> None:
        self._signals.append(number)
        self._news.set()

    def end(self) -> None:
        self._is_over = True
        self._news.set()

    def pass_on(self) -> None:
        while not self._is_over:
            self._news.wait()
            self._news.clear()
            size, self._size = self._size, None
            if size is not None:
                self._program.resize(*size)
            while self._signals:
                self._program.send(self._signals.popleft())


def _feed(program: Attached, streams: Streams, done: threading.Event) -> None:
    """What the person types, or pipes into it."""
    with suppress(OSError):  # one of the two has left, and the other thread sees it too
        while not done.is_set():
            data = streams.read(_LOOK)
            if data:
                program.write(data)
            elif data is not None:
                program.end_input()
                return


def _follow(program: Attached, streams: Streams, timeout: float | None) -> int:
    began, has_output = time.monotonic(), True
    while True:
        try:
            if not has_output:
                return program.wait(_LOOK)
            stream, data = program.read(_LOOK)
            has_output = bool(data)
            streams.write(data, error=stream == 2)
        except TimeoutError:
            streams.require_reader()
        if timeout is not None and time.monotonic() > began + timeout:
            raise OutOfTime(timeout)
