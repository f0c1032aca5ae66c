"""One more program in a container that runs, with somebody at its streams.

The engine neither ends it nor passes signals to it: that is done from outside, where its processes can be seen."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine.ask import ask
from gitpaas.engine.stream import Stream
from gitpaas.errors import EngineFailed, RuntimeFailed
from gitpaas.linux import Process, processes
from gitpaas.output import Terminal
from gitpaas.runtimes import entered
from gitpaas.runtimes.docker import names, settings
from gitpaas.runtimes.docker.attached import NEVER_LEAVE, Attached
from gitpaas.runtimes.docker.view import inspect
from gitpaas.values import Instance, InstanceSpec, revealed

_KILLED = 137
_DOING = "running a program in a container"


@contextmanager
def opened(
    config: Config, engine: Engine, instance: Instance, spec: InstanceSpec, terminal: Terminal | None
) -> Iterator[Attached]:
    """RuntimeFailed when the instance does not run."""
    container = inspect(engine, names.container(instance.id), _DOING)
    if not container or not container["State"]["Running"]:
        raise RuntimeFailed(f"{instance.label} of {instance.app} does not run any more.")
    with entered.entry(config, instance.id) as own:
        made = _make(engine, container, spec, own.env, terminal)
        program = _Exec(engine, made, container["Id"])
        started = {"Detach": False, "Tty": terminal is not None}
        try:
            with Stream(engine.address, "POST", f"/exec/{made}/start", body=started, doing=_DOING) as stream:
                attached = Attached(instance.id, stream, program, has_terminal=terminal is not None)
                try:
                    if terminal is not None:
                        attached.resize(terminal.columns, terminal.rows)
                    yield attached
                finally:
                    own.end(program.first(), kindly=program.exit_code() is None)
                    attached.close()
        finally:
            own.end(None, kindly=False)


class _Exec:
    """attached.Program"""

    def __init__(self, engine: Engine, number: str, container: str) -> None:
        self._engine = engine
        self._number = number
        self._container = container

    def first(self) -> Process | None:
        """Its first process, as this machine sees it."""
        return entered.first_of(int(self._look().get("Pid") or 0), self._container)

    def resize(self, columns: int, rows: int) -> None:
        with self._engine.calls("resizing a terminal", missing_ok=True):
            self._engine.api.exec_resize(self._number, height=rows, width=columns)

    def send(self, number: int) -> None:
        if first := self.first():
            processes.send(first, signal.Signals(number))

    def exit_code(self) -> int | None:
        found = self._look()
        return None if found["Running"] else int(found["ExitCode"])

    def _look(self) -> dict[str, Any]:
        """Of one whose container is gone: it was killed with that."""
        try:
            found = dict(ask(self._engine, f"/exec/{self._number}/json", doing=_DOING))
        except EngineFailed as error:
            if error.status != 404:
                raise
            found = {"Running": False, "Pid": 0}
        return found if found.get("ExitCode") is not None else found | {"ExitCode": _KILLED}


def _make(
    engine: Engine, container: dict[str, Any], spec: InstanceSpec, mark: dict[str, str], terminal: Terminal | None
) -> str:
    """It has the container's environment by itself."""
    env = revealed(spec.env) | mark
    has = set(container["Config"]["Env"] or ())
    with engine.calls(_DOING):
        made = engine.api.exec_create(
            container["Id"],
            settings.command(spec.command, (), terminal),
            stdin=True,
            tty=terminal is not None,
            environment={name: value for name, value in env.items() if f"{name}={value}" not in has},
            detach_keys=NEVER_LEAVE,
        )
    return str(made["Id"])
