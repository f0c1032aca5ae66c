"""What runs, read from the engine's list of containers: one call, whatever their number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gitpaas import locks
from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine.ask import ask
from gitpaas.errors import EngineFailed
from gitpaas.runtimes.docker import names
from gitpaas.runtimes.docker.ports import FoundPorts
from gitpaas.runtimes.docker.starting import lock_path
from gitpaas.values import Instance

ENDED = ("exited", "dead")
ALIVE = ("running", "paused", "restarting")

Entry = Mapping[str, Any]  # a container as the engine lists it


@dataclass(frozen=True)
class _End:
    """How a container ended."""

    code: int | None
    at: float | None
    oom: bool


class View:
    """Remembers how containers ended: only that takes a call for each of them."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config = config
        self._engine = engine
        self._ports = FoundPorts(config)
        self._ends: dict[str, _End] = {}  # by the engine's id

    def instances(self, app: str | None = None) -> list[Instance]:
        """Oldest first."""
        entries, found = self.entries(app), self._ports.all()
        if app is None:
            there = {entry["Id"] for entry in entries}
            self._ends = {container: end for container, end in list(self._ends.items()) if container in there}
        seen = [self._describe(entry, found) for entry in entries if names.is_shown(entry["Labels"])]
        return sorted((instance for instance in seen if instance), key=lambda i: (i.started_at, i.id))

    def find(self, key: str) -> Instance | None:
        """One by its id."""
        entries = self._list(self._engine.filters(id=key))
        return self._describe(entries[0], self._ports.all()) if entries else None

    def entries(self, app: str | None = None) -> list[Entry]:
        """All containers of ours, one-offs included."""
        return self._list(names.filters(self._engine, app))

    def _list(self, filters: Mapping[str, Sequence[str]]) -> list[Entry]:
        query: dict[str, str | int] = {"all": 1, "filters": json.dumps(filters)}
        listed: list[Entry] = ask(self._engine, "/containers/json", query, "looking at what runs")
        # Who starts an image by hand gets what that said in our own words, of which the values were taken away.
        return [entry for entry in listed if entry["Labels"]["gitpaas.id"]]

    def _describe(self, entry: Entry, found: Mapping[str, int]) -> Instance | None:
        marks, state = entry["Labels"], entry["State"]
        key = marks["gitpaas.id"]
        is_starting = state == "created" and locks.is_held(lock_path(self._config, key))
        if not (is_starting or state in ALIVE or state in ENDED):
            return None  # being removed, or left half-made by somebody who was killed
        end = self._end(entry["Id"]) if state in ENDED else None
        return Instance(
            id=key,
            app=marks["gitpaas.app"],
            release=int(marks["gitpaas.release"]),
            process=marks["gitpaas.process"],
            number=int(marks["gitpaas.number"]),
            state="exited" if end else "running",
            address=names.address(marks, found.get(key)),
            started_at=float(marks["gitpaas.started"]),
            exited_at=end.at if end else None,
            exit_code=end.code if end else None,
            restarts=int(marks["gitpaas.restarts"]),
            runtime="docker",
            oom=end is not None and end.oom,
            log=None if names.is_attached(marks) else self._config.raw_log(marks["gitpaas.app"], key),
            one_off=names.one_off(marks),
            last_exit=names.last_exit(marks),
        )

    def _end(self, container: str) -> _End:
        end = self._ends.get(container)
        if end is None:
            found = inspect(self._engine, container, "looking at what ended")
            state = found["State"] if found else {}
            end = self._ends[container] = _End(state.get("ExitCode"), _moment(state), bool(state.get("OOMKilled")))
        return end


def inspect(engine: Engine, container: str, doing: str) -> dict[str, Any] | None:
    """All that the engine knows of one, by name or id; None when it is gone."""
    try:
        return dict(ask(engine, f"/containers/{container}/json", doing=doing))
    except EngineFailed as error:
        if error.status == 404:
            return None
        raise


def _moment(state: Mapping[str, Any]) -> float | None:
    """RFC 3339 with nanoseconds; year 1 stands for never."""
    text = str(state.get("FinishedAt", ""))
    if not text or text.startswith("0001"):
        return None
    return datetime.fromisoformat(text).timestamp()
