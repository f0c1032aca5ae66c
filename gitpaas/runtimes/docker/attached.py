"""A container with somebody at its streams, over the connection that the engine keeps for that."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol

from gitpaas.engine import Engine
from gitpaas.engine.stream import Frames, Stream
from gitpaas.errors import EngineFailed
from gitpaas.output import Terminal
from gitpaas.runtimes.docker.settings import Streaming
from gitpaas.runtimes.docker.starting import Starter
from gitpaas.runtimes.docker.view import inspect
from gitpaas.values import InstanceSpec

_LOOK = 0.2  # seconds
_END_OF_INPUT = b"\x04"
# At a terminal the engine takes some keys for a wish to leave (Ctrl-P Ctrl-Q), and holds back the first of them.
NEVER_LEAVE = ",".join(["ctrl-@"] * 32)


class Program(Protocol):
    """What runs behind the streams: a container's own command, or one more in it."""

    def resize(self, columns: int, rows: int) -> None: ...

    def send(self, number: int) -> None: ...

    def exit_code(self) -> int | None:
        """None while it runs."""


class Attached:
    """runtimes.Attached."""

    def __init__(self, key: str, stream: Stream, program: Program, *, has_terminal: bool) -> None:
        self.id = key
        self._stream = stream
        self._program = program
        self._frames = None if has_terminal else Frames()
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._has_ended = False
        self._closed = False
        self._writing = threading.Lock()

    def read(self, timeout: float) -> tuple[int, bytes]:
        deadline = time.monotonic() + timeout
        while not self._pieces:
            if self._has_ended:
                return 1, b""
            self._take(self._stream.read(max(0.001, deadline - time.monotonic())))
        return self._pieces.popleft()

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        with self._writing:
            while left:
                if self._closed:
                    raise BrokenPipeError
                left = left[self._stream.send(left, _LOOK) :]

    def end_input(self) -> None:
        with suppress(BrokenPipeError):
            if self._frames is None:
                self.write(_END_OF_INPUT)
                return
            with self._writing:
                self._stream.end_sending()

    def resize(self, columns: int, rows: int) -> None:
        if self._frames is None:
            with suppress(EngineFailed):  # it has ended
                self._program.resize(columns, rows)

    def send(self, number: int) -> None:
        with suppress(EngineFailed):
            self._program.send(number)

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (code := self._program.exit_code()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.02)
        return code

    def close(self) -> None:
        """Let go of the streams."""
        self._closed = True
        with self._writing:
            self._stream.close()

    def _take(self, data: bytes) -> None:
        self._has_ended = not data
        if self._frames is None:
            self._pieces.extend([(1, data)] if data else [])
        else:
            self._pieces.extend(self._frames.feed_apart(data))


@contextmanager
def opened(
    engine: Engine, starter: Starter, spec: InstanceSpec, terminal: Terminal | None, grace: float
) -> Iterator[Attached]:
    """A container of its own, gone after the body."""
    with ExitStack() as stack:
        streams: list[Stream] = []
        attach: Callable[[str], None] = lambda name: streams.append(stack.enter_context(_attached(engine, name)))  # noqa: E731
        started = stack.enter_context(starter.started(spec, one_off=True, before=attach, streams=Streaming(terminal)))
        stack.callback(starter.remove, started.name)
        program = _Container(engine, started.name)
        attached = Attached(started.key, streams[-1], program, has_terminal=terminal is not None)
        try:
            if terminal is not None:
                attached.resize(terminal.columns, terminal.rows)
            yield attached
        finally:
            attached.close()  # first: a program that waits for us to read could not end, nor its engine see that
            end(program, grace)


def end(program: Program, grace: float) -> None:
    """SIGHUP, and time to end of that."""
    with suppress(EngineFailed):
        if program.exit_code() is None:
            program.send(1)
        deadline = time.monotonic() + grace
        while program.exit_code() is None and time.monotonic() < deadline:
            time.sleep(0.05)


class _Container:
    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._code: int | None = None

    def resize(self, columns: int, rows: int) -> None:
        with self._engine.calls("resizing a terminal", missing_ok=True):
            self._engine.api.resize(self._name, height=rows, width=columns)

    def send(self, number: int) -> None:
        with self._engine.calls("sending a signal", missing_ok=True):
            self._engine.api.kill(self._name, number)

    def exit_code(self) -> int | None:
        """Once known it stays, since the container goes. Whoever removes it before that ends it by SIGKILL."""
        if self._code is None:
            self._code = self._ask()
        return self._code

    def _ask(self) -> int | None:
        found: dict[str, Any] | None = inspect(self._engine, self._name, "waiting for the end of a command")
        if found is None:
            return 137
        return None if found["State"]["Running"] else int(found["State"]["ExitCode"])


def _attached(engine: Engine, container: str) -> Stream:
    """From before its start, so that nothing is missed."""
    query: dict[str, str | int] = {"stream": 1, "stdin": 1, "stdout": 1, "stderr": 1, "detachKeys": NEVER_LEAVE}
    return Stream(engine.address, "POST", f"/containers/{container}/attach", query)
