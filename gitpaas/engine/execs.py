"""One more program in a container that runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gitpaas.engine.client import Engine
from gitpaas.engine.stream import Frames, Stream

_MOST = 256 * 1024  # bytes of output


def execute(engine: Engine, container: str, argv: Sequence[str], timeout: float) -> tuple[int | None, bytes]:
    """Its exit code and what it wrote. The code is None when it takes longer: it goes on then, nobody can end it.

    EngineFailed when the container does not run."""
    with engine.calls("running a program in a container"):
        made = engine.api.exec_create(container, list(argv))["Id"]
    started = {"Detach": False, "Tty": False}
    with Stream(engine.address, "POST", f"/exec/{made}/start", body=started) as stream:
        output, ended = _read(stream, time.monotonic() + timeout)
    if not ended:
        return None, output
    with engine.calls("running a program in a container"):
        return engine.api.exec_inspect(made)["ExitCode"], output


def _read(stream: Stream, deadline: float) -> tuple[bytes, bool]:
    frames, output = Frames(), b""
    while (left := deadline - time.monotonic()) > 0:
        try:
            data = stream.read(left)
        except TimeoutError:
            break
        if not data:
            return output, True
        output = (output + b"".join(frames.feed(data)))[:_MOST]
    return output, False
