"""Between a person's streams and a program's: bytes both ways, each side waits for the other, until one ends."""

from __future__ import annotations

import threading
from collections import deque
from concurrent import futures
from contextlib import suppress

from gitpaas.errors import OutOfTime
from gitpaas.output import Streams
from gitpaas.runtimes import Attached

_LOOK = 0.25  # seconds between two looks at whether the person is still there
_MOST_SIGNALS = 16  # that wait to be passed on


def relay(program: Attached, streams: Streams, timeout: float | None = None) -> int:
    """The program's exit code. ConnectionError when the person has left, OutOfTime after `timeout` seconds: in both
    cases it still runs."""
    orders, output = _Orders(program), _Output(program, streams)
    done = threading.Event()
    threads = (
        threading.Thread(target=_feed, args=(program, streams, done), name="relay", daemon=True),
        threading.Thread(target=orders.pass_on, name="relay orders", daemon=True),
        threading.Thread(target=output.pass_on, name="relay output", daemon=True),
    )
    for thread in threads:
        thread.start()
    streams.listen(orders.resize, orders.send)
    try:
        return output.wait(timeout)
    finally:
        done.set()
        orders.end()
        output.end()


class _Output:
    """What the program says, on a thread of its own: who takes nothing may hold that up for ever, but not the time."""

    def __init__(self, program: Attached, streams: Streams) -> None:
        self._program = program
        self._streams = streams
        self._reading = threading.Lock()
        self._is_over = False
        self._ended: futures.Future[int] = futures.Future()

    def wait(self, timeout: float | None) -> int:
        """The exit code; raises what passing on has raised, and OutOfTime."""
        if timeout is not None and not futures.wait([self._ended], timeout).done:
            raise OutOfTime(timeout)
        return self._ended.result()

    def end(self) -> None:
        """From now on the program's output is not touched: its descriptors may be closed, and be other files' then."""
        self._is_over = True
        with self._reading:
            pass

    def pass_on(self) -> None:
        try:
            self._ended.set_result(self._follow())
        except BaseException as error:
            self._ended.set_exception(error)

    def _follow(self) -> int:
        has_output = True
        while True:
            try:
                with self._reading:
                    if self._is_over:
                        raise ConnectionResetError("nobody waits for it any more")
                    if not has_output:
                        return self._program.wait(_LOOK)
                    stream, data = self._program.read(_LOOK)
                has_output = bool(data)
                self._streams.write(data, error=stream == 2)
            except TimeoutError:
                self._streams.require_reader()


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
