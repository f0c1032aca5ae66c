"""A container in the foreground: its lines live, its exit code, and nothing of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from gitpaas.engine import Engine
from gitpaas.engine.stream import Frames, Stream
from gitpaas.errors import CommandFailed, EngineFailed
from gitpaas.runtimes.docker.starting import Starter
from gitpaas.runtimes.docker.view import inspect
from gitpaas.shell import TIMED_OUT, Lines
from gitpaas.values import InstanceSpec

_PARTIAL = 0.2  # seconds until a line without its end is shown all the same


def run(engine: Engine, starter: Starter, spec: InstanceSpec, on_line: Callable[[str], None], timeout: float) -> int:
    """CommandFailed after `timeout` seconds."""
    lines = Lines(on_line)
    with ExitStack() as stack:
        streams: list[Stream] = []
        attach = lambda name: streams.append(stack.enter_context(_attached(engine, name)))  # noqa: E731
        started = stack.enter_context(starter.started(spec, one_off=True, before=attach))
        stack.callback(starter.remove, started.name)
        deadline = time.monotonic() + timeout
        in_time = _pump(streams[-1], lines, deadline)
        lines.finish()
        code = _exit_code(engine, started.name, deadline) if in_time else None
    if code is None:
        what = spec.command or "The image's own command"
        raise CommandFailed(f"`{what}` took longer than {timeout:g} seconds", code=TIMED_OUT, tail=lines.tail())
    return code


def _attached(engine: Engine, container: str) -> Stream:
    """From before its start, so that nothing is missed."""
    query = {"stream": 1, "stdout": 1, "stderr": 1}
    return Stream(engine.address, "POST", f"/containers/{container}/attach", query)


def _pump(stream: Stream, lines: Lines, deadline: float) -> bool:
    """Hand lines on until the container ends; False when time is up before."""
    frames = Frames()
    while (left := deadline - time.monotonic()) > 0:
        try:
            data = stream.read(min(left, _PARTIAL))
        except TimeoutError:
            lines.flush()
            continue
        lines.feed(b"".join(frames.feed(data)))
        if not data:
            lines.flush()
            return True
    return False


def _exit_code(engine: Engine, container: str, deadline: float) -> int | None:
    """None when it has closed its output and does not end."""
    while True:
        found = inspect(engine, container, "waiting for the end of a command")
        if found is None:
            raise EngineFailed("A command's container was removed before it ended.")
        if not found["State"]["Running"]:
            return int(found["State"]["ExitCode"])
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
