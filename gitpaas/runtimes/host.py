"""The host runtime: instances are plain processes of this machine, confined as far as it allows."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from gitpaas import linux, shell
from gitpaas.config import Config
from gitpaas.descriptors import Waker
from gitpaas.errors import CommandFailed, RuntimeFailed
from gitpaas.linux import Process, processes
from gitpaas.output import Terminal
from gitpaas.runtimes import Attached, entered, foreground, keeper
from gitpaas.runtimes.command import home, joining
from gitpaas.runtimes.elsewhere import Elsewhere
from gitpaas.runtimes.environment import environment
from gitpaas.runtimes.making import Making, our_fault
from gitpaas.runtimes.records import Record, Records
from gitpaas.runtimes.tail import last_lines
from gitpaas.values import Instance, InstanceSpec, Reach, State, Survey, Usage

_STARTING = 5.0  # seconds that stop() waits for a start under way to get somewhere


class HostRuntime:
    """Every answer is read from the records and from /proc; by heart it knows only what no record changes."""

    name = "host"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._records = Records(config.run / "instances")
        self._elsewhere = Elsewhere(self._records)
        self._making = Making(config, self._records)
        self._described: dict[str, tuple[Record, Instance]] = {}  # as it runs
        self._told: frozenset[str] = frozenset()  # what wait_for_exit has seen ended
        self._waker = Waker()

    def start(self, spec: InstanceSpec) -> Instance:
        with self._making.recorded(spec) as (record, lock):
            with our_fault():
                log = self._making.open_log(record, spec.uid)
            try:
                argv = self._making.command(spec, record, ("session", "ready"))
                env = linux.carry(environment(spec, record.id, home(spec), record.port))
                keeper.start(argv, env, log, lock, self._records.path(record), self._records.exit_file(record))
            finally:
                os.close(log)
        return self._describe(record, "running")

    def stop(self, instance: Instance, grace: float) -> None:
        record = self._records.find(instance.id)
        if record is None:
            return
        deadline = time.monotonic() + _STARTING
        while not self._records.process(record) and self._records.is_held(record) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._making.remove(record, grace)

    def running(self, app: str | None = None) -> list[Instance]:
        if app is None:
            entered.sweep(self._config)
        boot = linux.boot_id()
        records = self._records.all()
        seen = [self._look_at(record, boot) for record in records if app in (None, record.app)]
        described = self._described  # others may add to it meanwhile
        self._described = {record.id: described[record.id] for record in records if record.id in described}
        return [instance for instance in seen if instance]

    def survey(self, app: str | None = None) -> Survey:
        return Survey(tuple(self.running(app)))

    def run(self, spec: InstanceSpec, on_line: Callable[[str], None], timeout: float) -> int:
        with self._making.recorded(spec, one_off=True) as (record, _):
            env = linux.carry(environment(spec, record.id, home(spec), None))
            try:
                return shell.run(self._making.command(spec, record), env=env, timeout=timeout, on_line=on_line).code
            except CommandFailed as error:
                message = f"`{spec.command}` took longer than {timeout:g} seconds"
                raise CommandFailed(message, code=error.code, tail=error.tail) from error

    @contextmanager
    def open(self, spec: InstanceSpec, terminal: Terminal | None) -> Iterator[Attached]:
        with self._making.recorded(spec, one_off=True) as (record, _):
            env = linux.carry(environment(spec, record.id, home(spec), None))
            argv = partial(self._making.command, spec, record)
            with foreground.started(record.id, argv, env, terminal, partial(self._making.end, record, 0)) as attached:
                try:
                    yield attached
                finally:
                    self._making.end(record, self._config.stop_grace if attached.is_running else 0, signal.SIGHUP)

    @contextmanager
    def enter(self, instance: Instance, spec: InstanceSpec, terminal: Terminal | None) -> Iterator[Attached]:
        record = self._records.find(instance.id)
        process = self._process(record, linux.boot_id()) if record else None
        if record is None or process is None or not process.is_alive():
            raise RuntimeFailed(f"{instance.label} of {instance.app} does not run any more.")
        with entered.entry(self._config, record.id) as own:
            env = linux.carry(environment(spec, record.id, home(spec), record.port) | own.env)
            argv = partial(joining, spec, record.cgroup, process)
            first: list[Process] = []
            end = lambda: own.end(first[0] if first else None, kindly=False)  # noqa: E731
            with foreground.started(record.id, argv, env, terminal, end) as attached:
                first += filter(None, [processes.find(attached.pid)])
                try:
                    yield attached
                finally:
                    own.end(first[0] if first else None, kindly=attached.is_running)

    def reach(self, instance: Instance) -> Reach:
        return Reach(instance.address, note=self._elsewhere.note(instance) if instance.address else "")

    def output(self, instance: Instance, lines: int) -> tuple[str, ...]:
        return last_lines(instance.log, lines)

    def usage(self, instances: Sequence[Instance]) -> dict[str, Usage]:
        records = {one.id: record for one in instances if (record := self._records.find(one.id))}
        groups = {key: record.cgroup for key, record in records.items() if record.cgroup}
        taken = {key: found for key, group in groups.items() if (found := linux.usage.of_group(group))}
        first = {key: self._records.process(record) for key, record in records.items() if key not in taken}
        return taken | linux.usage.of_sessions({key: process for key, process in first.items() if process})

    def attend(self) -> AbstractContextManager[None]:
        """Nothing to do: instances write into their files themselves."""
        return nullcontext()

    def forget(self, app: str) -> None:
        shell.remove(self._config.volumes(app))

    def volumes(self, app: str) -> list[str]:
        folder = self._config.volumes(app)
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def remove_volume(self, app: str, name: str) -> None:
        shell.remove(self._config.volume(app, name))

    def wait_for_exit(self, timeout: float) -> bool:
        """Block until an instance ends: True. False when `timeout` seconds are over or somebody called wake().

        For one thread. What ended before the call counts, unless an earlier call has told it."""
        alive, ended = self._by_life()
        news, self._told = ended - self._told, ended
        if news:
            return True
        gone = processes.wait_any(list(alive), timeout, self._waker)
        self._told |= {alive[process] for process in gone}
        return bool(gone)

    def wake(self) -> None:
        """End a wait_for_exit early, from any thread; the next one when there is none just now."""
        self._waker.wake()

    def missing(self) -> list[str]:
        found = []
        if not linux.can_confine():
            found.append(_UNCONFINED if os.geteuid() == 0 else _NOT_ROOT)
        if linux.cgroup_version() is None:
            found.append(_NO_CGROUPS if linux.can_confine() else f"{_NO_CGROUPS} Their number is not limited.")
        return found

    def _look_at(self, record: Record, boot: str) -> Instance | None:
        first = self._records.process(record)
        if self._is_starting(record, first):
            return None if record.one_off and record.command is None else self._running(record)
        process = (first or self._records.process(record)) if record.boot == boot else None  # or it came just now
        if record.one_off or (process is None and record.boot == boot):
            self._making.remove(record, grace=0)  # whoever started it was killed half-way
            return None
        if process is not None and process.is_alive():
            return self._running(record)
        code, at = self._records.exit(record) if process else (None, None)
        return self._describe(record, "exited", code, at)

    def _is_starting(self, record: Record, first: Process | None) -> bool:
        """Or, for a one-off, under way: its lock is held by whoever waits for it."""
        return (record.one_off or first is None) and self._records.is_held(record)

    def _process(self, record: Record, boot: str) -> Process | None:
        """None as well for one of an earlier boot: its pid means nothing now."""
        return self._records.process(record) if record.boot == boot else None

    def _by_life(self) -> tuple[dict[Process, str], frozenset[str]]:
        alive, ended, boot = {}, set(), linux.boot_id()
        for record in self._records.all():
            first = self._records.process(record)
            if first is not None and record.boot == boot and first.is_alive():
                alive[first] = record.id
            elif not self._is_starting(record, first):
                ended.add(record.id)
        return alive, frozenset(ended)

    def _running(self, record: Record) -> Instance:
        """Described once: that changes as little as its record."""
        known = self._described.get(record.id)
        if known is None or known[0] is not record:
            known = self._described[record.id] = record, self._describe(record, "running")
        return known[1]

    def _describe(
        self, record: Record, state: State, exit_code: int | None = None, exited_at: float | None = None
    ) -> Instance:
        return Instance(
            id=record.id,
            app=record.app,
            release=record.release,
            process=record.process,
            number=record.number,
            state=state,
            address=f"127.0.0.1:{record.port}" if record.port else None,
            started_at=record.started_at,
            exited_at=exited_at,
            exit_code=exit_code,
            restarts=record.restarts,
            log=None if record.one_off else self._making.log(record),
            oom=state == "exited" and record.cgroup is not None and record.cgroup.ooms() > 0,
            one_off=record.command,
            last_exit=record.last_exit,
        )


_NOT_ROOT = (
    "Not root: apps run as the server's own user and can read whatever it can, its state directory included; "
    "run only apps you trust, or start the server as root."
)
_UNCONFINED = (
    "Mount namespaces are not allowed here: apps run as root and unconfined; "
    "start the server where CAP_SYS_ADMIN is granted, or as an ordinary user."
)
_NO_CGROUPS = "No cgroup may be used: each process of an instance may take twice the memory meant for all of them."
