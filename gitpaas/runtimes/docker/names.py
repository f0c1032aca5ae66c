"""What the containers of instances are called, and the labels by which they are found and described again."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple

from gitpaas.engine import Engine, labels
from gitpaas.values import Exit, InstanceSpec

_ATTACHED = "yes"


def new_key(spec: InstanceSpec) -> str:
    """An instance's id: readable, never given twice."""
    return f"{spec.app}.v{spec.release}.{spec.process}.{spec.number}.{secrets.token_hex(4)}"


def container(key: str) -> str:
    """The name of an instance's container."""
    return f"gitpaas-{key}"


def label_all(
    engine: Engine,
    spec: InstanceSpec,
    key: str,
    address: str,
    port: int | None,
    published: Mapping[int, int],
    *,
    one_off: bool,
) -> dict[str, str]:
    """Every label there is: one that were left out here would be the image's own, which anybody can write."""
    return labels(
        engine.ours,
        id=key,
        app=spec.app,
        release=spec.release,
        process=spec.process,
        number=spec.number,
        restarts=spec.restarts,
        started=repr(time.time()),
        address=address,
        port="" if port is None else port,
        published=" ".join(f"{inner}:{outer}" for inner, outer in published.items()),
        exit="" if spec.last_exit is None else json.dumps(astuple(spec.last_exit)),
        oneoff=" ".join(filter(None, [str(spec.one_off or ""), _ATTACHED if one_off else ""])),
    )


def address(marks: Mapping[str, str], found: int | None = None) -> str | None:
    """Where it can be asked: at the port that was `found` (None when that is not published), else at the one that it
    was told. None as well when it does not listen."""
    if not marks["gitpaas.port"]:
        return None
    port = found or int(marks["gitpaas.port"])
    ports = published(marks)
    if not ports:
        return f"{marks['gitpaas.address']}:{port}"
    return f"127.0.0.1:{ports[port]}" if port in ports else None


def published(marks: Mapping[str, str]) -> dict[int, int]:
    """Ports of the container -> those of the host's loopback; empty where the bridge can be reached."""
    pairs = (pair.split(":") for pair in marks["gitpaas.published"].split())
    return {int(inner): int(outer) for inner, outer in pairs}


def is_attached(marks: Mapping[str, str]) -> bool:
    """Whether somebody waits for it: then it ends with them. Or it is none of ours at all."""
    return _ATTACHED in marks.get("gitpaas.oneoff", _ATTACHED).split()


def is_shown(marks: Mapping[str, str]) -> bool:
    """Whether it is an instance for all, and not a part of something else (a release phase)."""
    return one_off(marks) is not None or not is_attached(marks)


def one_off(marks: Mapping[str, str]) -> int | None:
    """InstanceSpec.one_off"""
    return next((int(word) for word in marks["gitpaas.oneoff"].split() if word.isdecimal()), None)


def last_exit(marks: Mapping[str, str]) -> Exit | None:
    """InstanceSpec.last_exit. None of a container that was made when there was no such label."""
    with suppress(ValueError, TypeError):
        return Exit(*json.loads(marks["gitpaas.exit"])) if marks.get("gitpaas.exit") else None
    return None


def filters(engine: Engine, app: str | None = None) -> dict[str, list[str]]:
    """What lists the containers of ours: our images carry the mark of this server too, and whoever starts one of
    them by hand has a container with that mark, but without an instance's id."""
    found = engine.filters() if app is None else engine.filters(app=app)
    return {"label": [*found["label"], "gitpaas.id"]}
