"""Instances outlive whoever started them, and are never mistaken for something else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from instances import Host, host, is_alive, output, own_uid, until
from processes import mentioning, read_all

from gitpaas import linux
from gitpaas.config import Config
from gitpaas.errors import RuntimeFailed
from gitpaas.linux import cgroups, processes
from gitpaas.runtimes import keeper, records
from gitpaas.runtimes.host import HostRuntime
from gitpaas.values import Instance

STARTER = """
import os, sys, time
sys.path[:0] = {path!r}
from instances import host
from gitpaas.config import load
with host(load({{"GITPAAS_HOME": {home!r}}}), {uid!r}) as there:
    there.start({command!r})
    print("started", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def there(config: Config) -> Iterator[Host]:
    with host(config, own_uid()) as made:
        yield made


def started_by_another_process(there: Host, command: str) -> tuple[subprocess.Popen[bytes], Instance]:
    script = STARTER.format(path=sys.path, home=str(there.config.home), uid=there.uid, command=command)
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"started\n"
    starter.stdout.close()
    return starter, there.runtime.running()[0]


def files(there: Host) -> Path:
    return there.config.run / "instances"


def pid_of(there: Host, instance: Instance) -> int:
    return int((files(there) / f"{instance.id}.pid").read_text().split()[0])


def keeper_of(instance: Instance) -> int:
    """The keeper has the record's path among its arguments, and so has nobody else by now."""
    found = mentioning(f"{instance.id}.json")
    return next(pid for pid, line in found.items() if b"keeper" in line.split(b"\0"))


def test_an_instance_outlives_a_killed_starter_and_its_exit_code_is_known(there: Host, tmp_path: Path) -> None:
    starter, instance = started_by_another_process(there, "trap 'exit 42' TERM; echo up; while :; do sleep 0.05; done")
    output(instance, "up")
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    time.sleep(0.1)
    assert there.now(instance).state == "running"
    os.kill(pid_of(there, instance), signal.SIGTERM)
    assert there.ended(instance).exit_code == 42


def test_it_is_no_zombie_and_no_child_of_ours(there: Host) -> None:
    instance = there.start("exit 3")
    there.ended(instance)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    lines = dict(read_all("cmdline"))
    assert all(b"keeper" not in lines.get(int(pid), b"") for pid in children)


def test_signals_to_the_starters_group_do_not_reach_it(there: Host) -> None:
    instance = there.start("sleep 60")
    pid = pid_of(there, instance)
    assert os.getpgid(pid) == pid
    assert os.getsid(pid) == pid
    assert os.getpgid(keeper_of(instance)) != os.getpgid(0)


def test_with_its_keeper_killed_it_runs_on_and_ends_without_a_code(there: Host) -> None:
    instance = there.start("sleep 60")
    os.kill(keeper_of(instance), signal.SIGKILL)
    time.sleep(0.1)
    assert there.now(instance).state == "running"
    os.kill(pid_of(there, instance), signal.SIGKILL)
    ended = there.ended(instance)
    assert (ended.exit_code, ended.exited_at) == (None, None)


def test_with_its_keeper_killed_it_can_be_stopped(there: Host) -> None:
    instance = there.start("sleep 60")
    pid = pid_of(there, instance)
    os.kill(keeper_of(instance), signal.SIGKILL)
    there.runtime.stop(instance, grace=1)
    assert not is_alive(pid)
    assert there.traces() == []


def test_a_pid_given_to_another_process_is_not_taken_for_it(there: Host) -> None:
    instance = there.start("sleep 60")
    os.kill(keeper_of(instance), signal.SIGKILL)
    os.kill(pid_of(there, instance), signal.SIGKILL)
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        started = processes.find(bystander.pid)
        assert started is not None
        (files(there) / f"{instance.id}.pid").write_text(f"{bystander.pid} {started.started - 1}\n")
        assert there.now(instance).state == "exited"
        there.runtime.stop(instance, grace=1)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_after_a_reboot_all_have_ended_and_no_pid_means_anything(there: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_BUSY", 0.0)  # after a real reboot they are gone
    monkeypatch.setattr(records, "_WRITING", 0.0)
    instance = there.start("sleep 60", restarts=1)
    pid = pid_of(there, instance)
    with monkeypatch.context() as rebooted:
        rebooted.setattr(linux, "boot_id", lambda: "another")
        seen = there.now(instance)
        assert (seen.state, seen.exit_code, seen.restarts) == ("exited", None, 1)
        assert not there.runtime.wait_for_exit(0.05) or not there.runtime.wait_for_exit(0.05)
    assert there.now(instance).state == "running"
    with monkeypatch.context() as rebooted:
        rebooted.setattr(linux, "boot_id", lambda: "another")
        there.runtime.stop(instance, grace=1)
        assert there.runtime.running() == []
    assert is_alive(pid), "what has that pid now is somebody else"
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid))
    if group := linux.cgroup(instance.id):
        until(lambda: group.remove() or not group.paths[0].exists())


@pytest.mark.parametrize("step", ["making.Making._prepare", "making.Making.open_log", "keeper._read_to_end"])
def test_a_start_that_was_killed_half_way_leaves_nothing(there: Host, step: str) -> None:
    """With a record alone; with scratch and cgroup; with a keeper that nobody waits for."""
    killed = f"""
    import os, signal
    from gitpaas.runtimes import keeper, making
    {step} = lambda *_: (time.sleep(0.3), os.kill(os.getpid(), signal.SIGKILL))
    there.start("exec sleep 60", listens=True)"""
    script = STARTER.format(path=sys.path, home=str(there.config.home), uid=there.uid, command="")
    starter = [sys.executable, "-c", script.replace("\n    there.start('')", killed)]
    assert subprocess.run(starter, check=False).returncode == -signal.SIGKILL
    assert there.traces() != []
    # Whoever had got as far as a keeper had started something whole, which is there to be found.
    left = there.runtime.running()
    assert [i.state for i in left] == (["running"] if step.startswith("keeper") else [])
    for instance in left:
        there.runtime.stop(instance, grace=1)
    assert there.traces() == []


def test_a_start_under_way_is_seen_as_running_and_can_be_stopped(there: Host) -> None:
    record = HostRuntime(there.config)._making._new_record(there.spec("sleep 60", listens=True), one_off=False)
    lock = there.runtime._records.add(record)  # type: ignore[attr-defined]
    try:
        (seen,) = there.runtime.running()
        assert (seen.id, seen.state, seen.address) == (record.id, "running", f"127.0.0.1:{record.port}")
    finally:
        os.close(lock)
    there.runtime.stop(seen, grace=1)
    assert there.traces() == []


def test_a_launch_that_was_called_off_does_not_run(there: Host, tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailed, match="the start was called off"):
        argv = [*_launcher(tmp_path), "--", "/bin/sh", "-c", f"touch {tmp_path}/ran"]
        with (tmp_path / "log").open("w") as log, (tmp_path / "lock").open("w") as lock:
            keeper.start(argv, {}, log.fileno(), lock.fileno(), tmp_path / "gone.json", tmp_path / "gone.exit")
    time.sleep(0.05)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "lock", "log"]


def _launcher(folder: Path) -> list[str]:
    argv = linux.sandbox.launcher([], ["session", "ready", "started", str(folder / "pid"), str(folder / "gone.json")])
    return argv[:-1]


def test_a_one_off_whose_runner_was_killed_is_swept_away(there: Host, tmp_path: Path) -> None:
    script = STARTER.format(path=sys.path, home=str(there.config.home), uid=there.uid, command="").replace(
        "there.start('')", "there.runtime.run(there.spec('echo $$; exec sleep 60'), lambda l: print(l, flush=True), 60)"
    )
    runner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert runner.stdout is not None
    pid = int(runner.stdout.readline())
    assert there.runtime.running() == []
    assert is_alive(pid), "under way, and nobody's business"
    runner.kill()
    runner.wait()
    runner.stdout.close()
    assert there.runtime.running() == []
    assert not is_alive(pid)
    assert there.traces() == []


def test_records_that_are_none_are_passed_over(there: Host) -> None:
    instance = there.start("sleep 60")
    (files(there) / "empty.json").write_text("")
    (files(there) / "list.json").write_text("[]")
    (files(there) / "old.json").write_text(json.dumps({"id": "old", "cgroup": None}))
    try:
        assert [i.id for i in there.runtime.running()] == [instance.id]
    finally:
        for name in ("empty", "list", "old"):
            (files(there) / f"{name}.json").unlink()


def test_no_secret_is_in_a_record_or_an_argument(there: Host) -> None:
    instance = there.start("sleep 60", env={"PASSWORD": "p4ssword"})
    assert all("p4ssword" not in path.read_text() for path in files(there).iterdir())
    assert b"p4ssword" not in Path(f"/proc/{keeper_of(instance)}/cmdline").read_bytes()
    assert "p4ssword" not in str(asdict(instance))


def test_state_files_are_for_the_server_alone(there: Host) -> None:
    instance = there.start("sleep 60")
    assert instance.log is not None
    assert files(there).stat().st_mode & 0o777 == 0o700
    assert (files(there) / f"{instance.id}.json").stat().st_mode & 0o777 == 0o600
    assert instance.log.stat().st_mode & 0o777 == (0o620 if there.uid else 0o600)
    assert instance.log.parent.stat().st_mode & 0o777 == 0o700
