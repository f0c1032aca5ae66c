"""A question to the engine without its library, which costs a short-lived process half a second to import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from gitpaas.engine.client import Engine
from gitpaas.engine.stream import Stream
from gitpaas.errors import EngineFailed

_PATIENCE = 30.0  # seconds


def ask(
    engine: Engine,
    path: str,
    query: Mapping[str, str | int] | None = None,
    doing: str = "",
    *,
    patience: float = _PATIENCE,
) -> Any:
    """What GET answers: JSON. EngineFailed; `doing` says in words what then fails. `patience`: seconds of silence."""
    with Stream(engine.address, "GET", path, query, doing=doing) as answer:
        try:
            return json.loads(b"".join(iter(partial(answer.read, patience), b"")))
        except (OSError, ValueError) as error:
            raise EngineFailed(f"{doing or path}: the answer ended in the middle: {error}") from error
