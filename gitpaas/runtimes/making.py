"""Making an instance out of processes of this machine, and taking away every trace of one.

A record is on the disk before anything happens, and goes last: whoever is killed in between leaves enough to clean up.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gitpaas import linux, locks, rawfiles, shell
from gitpaas.config import Config
from gitpaas.errors import RuntimeFailed
from gitpaas.runtimes.command import command
from gitpaas.runtimes.ending import end_all
from gitpaas.runtimes.environment import MARK
from gitpaas.runtimes.ports import free_port
from gitpaas.runtimes.records import Record, Records
from gitpaas.values import InstanceSpec, Mount, VolumeMount


class Making:
    """All of it is safe to be done again, from any process."""

    def __init__(self, config: Config, records: Records) -> None:
        self._config = config
        self._records = records

    @contextmanager
    def recorded(self, spec: InstanceSpec, *, one_off: bool = False) -> Iterator[tuple[Record, int]]:
        """A locked record on the disk before anything happens. All is taken back when the body fails, or is over
        and done with (`one_off`)."""
        _require_able(spec)
        with locks.held(self._config.locks / "ports"), our_fault():
            record = self._new_record(spec, one_off)
            lock = self._records.add(record)
        done = False
        try:
            with our_fault():
                self._prepare(record, spec)
            yield record, lock
            done = not one_off
        finally:
            os.close(lock)
            if not done:
                self.remove(record, grace=0)

    def _new_record(self, spec: InstanceSpec, one_off: bool) -> Record:
        key = f"{spec.app}.v{spec.release}.{spec.process}.{spec.number}.{secrets.token_hex(4)}"
        port = None
        if spec.listens and not one_off:
            port = free_port(self._config.app_ports, {record.port for record in self._records.all() if record.port})
        return Record(
            id=key,
            app=spec.app,
            release=spec.release,
            process=spec.process,
            number=spec.number,
            restarts=spec.restarts,
            port=port,
            started_at=time.time(),
            boot=linux.boot_id(),
            one_off=one_off,
            cgroup=linux.cgroup(key),
            command=spec.one_off,
            last_exit=spec.last_exit,
        )

    def _prepare(self, record: Record, spec: InstanceSpec) -> None:
        if spec.uid is not None:
            self._scratch(record).mkdir(parents=True, mode=0o700)
        for volume in spec.volumes:
            self._make_volume(spec, volume)
        if record.cgroup:
            record.cgroup.create(spec.limits)

    def _make_volume(self, spec: InstanceSpec, volume: VolumeMount) -> None:
        path = self._config.volume(spec.app, volume.name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        if spec.uid is not None:
            os.chown(path, spec.uid, spec.uid)

    def command(
        self, spec: InstanceSpec, record: Record, first: Sequence[str] = (), last: Sequence[str] = ()
    ) -> list[str]:
        records = self._records
        volumes = [Mount(str(self._config.volume(spec.app, v.name)), v.target, writable=True) for v in spec.volumes]
        scratch = self._scratch(record)
        pid_file, path = records.pid_file(record), records.path(record)
        return command(spec, record.cgroup, scratch, pid_file, path, first, volumes, last)

    def open_log(self, record: Record, uid: int | None) -> int:
        fd = rawfiles.open_to_append(self.log(record))
        if uid is not None:  # neither its owner nor a reader, but programs do open /dev/stdout once more
            os.fchown(fd, 0, uid)
            os.fchmod(fd, 0o620)
        return fd

    def remove(self, record: Record, grace: float) -> None:
        """End it and take every trace away, the record last. For any record, in any state, and again."""
        if record.boot == linux.boot_id():
            self.end(record, grace)
        if record.cgroup:
            record.cgroup.remove()
        shell.remove(self._scratch(record))
        self._records.remove(record)

    def end(self, record: Record, grace: float, number: signal.Signals = signal.SIGTERM) -> None:
        """All of its processes; one that was started in this boot."""
        tmp = self._scratch(record) / "tmp"
        end_all(self._records.process(record), record.cgroup, f"{MARK}={record.id}", grace, tmp, number)

    def log(self, record: Record) -> Path:
        return self._config.raw_log(record.app, record.id)

    def _scratch(self, record: Record) -> Path:
        return self._config.run / "scratch" / record.id


def _require_able(spec: InstanceSpec) -> None:
    """RuntimeFailed for what plain processes cannot have."""
    if spec.artifact.kind != "slug":
        raise RuntimeFailed(
            f"{spec.app} v{spec.release} is an image, and this server runs plain processes.",
            "Set runtime = docker and restart the server, or build the app again: ps:rebuild.",
        )
    if spec.uid is None and (spec.volumes or spec.options.read_only):
        lacks = f"storage at {spec.volumes[0].target}" if spec.volumes else "a read-only file system"
        raise RuntimeFailed(
            f"{spec.app} is to have {lacks}, and without a sandbox there is none.", "Start the server as root."
        )


@contextmanager
def our_fault() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RuntimeFailed(f"An instance cannot be started: {error}") from error
