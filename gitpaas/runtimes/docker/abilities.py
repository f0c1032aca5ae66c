"""What the engine of this machine cannot do for instances, in sentences."""

from __future__ import annotations

from typing import Any

from gitpaas.engine import Engine
from gitpaas.engine.ask import ask
from gitpaas.errors import EngineFailed

_LIMITS = {
    "MemoryLimit": "memory",
    "PidsLimit": "the number of processes",
    "CpuCfsQuota": "CPU time",
}


def missing(engine: Engine) -> list[str]:
    """Empty when all is there. Asked without the library, since `status` wants to know."""
    try:
        info: dict[str, Any] = ask(engine, "/info")
    except EngineFailed as error:
        return [f"Containers cannot be started or seen. {error.message}."]
    lacks = [f"Docker Engine cannot limit {what} here." for key, what in _LIMITS.items() if info.get(key) is False]
    if "name=seccomp" not in ",".join(info.get("SecurityOptions") or ()):
        lacks.append("Docker Engine runs containers without seccomp here: they may use every system call.")
    return lacks
