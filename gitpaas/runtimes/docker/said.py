"""What a container has said last, asked of the engine."""

from __future__ import annotations

from gitpaas.engine import Engine
from gitpaas.engine.stream import Frames, Stream
from gitpaas.errors import EngineFailed

_MOST = 256 * 1024  # bytes
_PATIENCE = 5.0  # seconds


def last_lines(engine: Engine, container: str, count: int) -> tuple[str, ...] | None:
    """Oldest first; None when there is no such container, or the engine does not answer in time."""
    query = {"stdout": 1, "stderr": 1, "tail": count}
    frames, text = Frames(), b""
    try:
        with Stream(engine.address, "GET", f"/containers/{container}/logs", query) as stream:
            while data := stream.read(_PATIENCE):
                text = (text + b"".join(frames.feed(data)))[-_MOST:]
    except (EngineFailed, TimeoutError):
        return None
    return tuple(text.decode("utf-8", "replace").replace("\0", "").splitlines()[-count:])
