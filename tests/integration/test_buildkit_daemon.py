"""The daemon's life with the real buildkitd: who starts it, what ends it, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dockerfiles
import engine
import pytest
from dockerfiles import Yard, eventually

from gitpaas import daemon as server
from gitpaas import linux, locks, serve
from gitpaas.buildkit.daemon import Daemon
from gitpaas.errors import ToolFailed
from gitpaas.toolchain import Toolchain

pytestmark = [pytest.mark.needs("root", "sandbox", "buildkit"), pytest.mark.timeout(600)]

CNI = "buildkit-cni-bridge"


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with dockerfiles.yard(tmp_path / "home") as made:
        yield made


def daemon(yard: Yard) -> Daemon:
    return Daemon(yard.config, Toolchain(yard.config))


def used(yard: Yard) -> int:
    """The pid of the daemon that a build would use now."""
    own = daemon(yard)
    with own.in_use():
        pid = own.pid()
    assert pid
    return pid


def interface(yard: Yard) -> Path:
    return Path(f"/sys/class/net/gpb-{yard.config.identity[:8]}")


def rules(yard: Yard) -> str:
    listed = subprocess.run(["iptables", "-w", "-t", "raw", "-S"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in listed.splitlines() if interface(yard).name in line)


def test_it_is_started_once_and_outlives_who_started_it(yard: Yard) -> None:
    script = (
        "from gitpaas.config import load; from gitpaas.buildkit.daemon import Daemon\n"
        "from gitpaas.toolchain import Toolchain; config = load(); own = Daemon(config, Toolchain(config))\n"
        "with own.in_use(): print(own.pid())"
    )
    command = [sys.executable, "-c", script]
    with ThreadPoolExecutor(3) as pool:  # at the same time, by three processes
        runs = [pool.submit(subprocess.check_output, command, env=yard.config.environ) for _ in range(3)]
    pids = {int(run.result()) for run in runs}
    assert len(pids) == 1
    assert used(yard) == pids.pop()
    assert os.getsid(used(yard)) != os.getsid(0)


def test_it_is_stopped_with_everything_where_the_runtime_is_another_one_by_now(yard: Yard) -> None:
    pid, today = used(yard), replace(yard.config, runtime="host")
    assert serve._buildkit(today) is not None, "and rests, when nobody builds"

    server.stop(today, apps=True)

    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert serve._buildkit(today) is None


def test_stopped_it_leaves_nothing(yard: Yard) -> None:
    pid = used(yard)
    assert interface(yard).exists()
    assert "-d 10.213.0.0/16 -j DROP" in rules(yard).replace("-i " + interface(yard).name + " ", "")
    yard.buildkit.stop()
    yard.buildkit.stop()
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert not interface(yard).exists()
    assert rules(yard) == ""
    assert str(yard.config.home) not in Path("/proc/self/mountinfo").read_text()
    group = linux.cgroup(f"buildkit-{yard.config.identity}")
    assert group is None or not any(path.exists() for path in group.paths)


@pytest.mark.needs("docker")
def test_groups_that_runc_made_for_its_steps_go_with_it_also_when_it_was_killed(yard: Yard) -> None:
    for end in (yard.buildkit.stop, lambda: os.kill(used(yard), signal.SIGKILL)):
        yard.build(f"{dockerfiles.BASE}RUN date +%N")
        assert groups(yard)
        end()
    eventually(lambda: not locks.is_held(yard.config.locks / "buildkit"))
    used(yard)
    assert all((group / "daemon").exists() for group in groups(yard)), "those of today only"
    yard.buildkit.stop()
    assert groups(yard) == []


def test_group_of_its_name_that_somebody_is_in_stays(yard: Yard) -> None:
    used(yard)
    group = linux.cgroup(f"buildkit-{yard.config.identity}")
    ours = {path.parent for path in group.paths} if group else set()
    # A new cpuset takes nobody in.
    free = next((point for point in hierarchies() if point not in ours and point.name != "cpuset"), None)
    if group is None or group.version == "v2" or free is None:
        pytest.skip("needs a hierarchy (cgroup v1) that instances are not limited by")
    taken = free / group.paths[0].name
    taken.mkdir(exist_ok=True)
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        try:
            (taken / "cgroup.procs").write_text(str(sleeper.pid))
            yard.buildkit.stop()
            assert groups(yard) == [taken]
            assert sleeper.poll() is None
        finally:
            sleeper.kill()
    yard.buildkit.stop()
    assert groups(yard) == []


def hierarchies() -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4]) for line in lines if " - cgroup " in line]


def groups(yard: Yard) -> list[Path]:
    """Of this BuildKit, whoever made them, in every hierarchy of the machine."""
    name = f"gitpaas.buildkit-{yard.config.identity}"
    # Not by Path.glob, which raises when one of somebody else's goes meanwhile.
    return sorted(Path(root, name) for root, names, _ in os.walk("/sys/fs/cgroup") if name in names)


def test_killed_it_leaves_no_mounts_and_the_next_one_starts(yard: Yard) -> None:
    first = used(yard)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not locks.is_held(yard.config.locks / "buildkit"))
    assert yard.buildkit.pid() is None
    assert str(yard.config.home) not in Path("/proc/self/mountinfo").read_text()
    assert used(yard) != first


def test_changed_settings_wait_until_nobody_builds(yard: Yard) -> None:
    other = yard.again(BUILD_CACHE="3g")
    own = daemon(yard)
    with own.in_use():
        before = own.pid()
        assert used(other) == before, "not while somebody builds"
    after = used(other)
    assert after != before
    assert str(3 << 30) in (yard.config.buildkit / "buildkitd.toml").read_text()
    assert used(other) == after


def test_it_rests_when_nobody_has_built_for_a_while(yard: Yard) -> None:
    assert not yard.buildkit.rest(0), "there is none"
    own = daemon(yard)
    with own.in_use():
        assert not yard.buildkit.rest(0)
        assert own.pid()
    assert not yard.buildkit.rest(60)
    assert own.pid()
    assert yard.buildkit.rest(0)
    assert own.pid() is None


def test_it_is_capped(yard: Yard) -> None:
    group = linux.cgroup(f"buildkit-{yard.config.identity}")
    if group is None:
        pytest.skip("needs cgroups, which this machine does not have")
    pid = used(yard.again(BUILD_MEMORY="1g", MAX_BUILDS="3", BUILD_CPUS="1.5"))
    assert pid in [process.pid for process in group.members()]
    written = {path.name: path.read_text().strip() for part in group.paths for path in part.iterdir() if path.is_file()
               and path.name in ("memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.max")}  # fmt: skip
    assert str(3 << 30) in written.values()
    if linux.can_limit_cpus():
        assert {"150000", "150000 100000"} & set(written.values())


def test_where_no_bridge_can_be_made_steps_share_the_network_and_that_is_told(yard: Yard, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir(mode=0o700)
    for path in engine.TOOLS.iterdir():
        if path.is_file() and path.name != CNI:
            (tools / path.name).symlink_to(path.resolve())
    (tools / CNI).write_text('#!/bin/sh\n[ "$1" = --version ] && echo "v1.9.1" && exit\nexit 1\n')
    (tools / CNI).chmod(0o755)
    broken = yard.again(TOOLS=str(tools))

    first = used(broken)

    assert "share the server's network, since" in broken.buildkit.missing()[0]
    assert used(broken) == first, "it is not tried again each time"
    assert 'networkMode = "host"' in (yard.config.buildkit / "buildkitd.toml").read_text()


def test_a_daemon_that_cannot_start_says_why(yard: Yard, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir(mode=0o700)
    for path in engine.TOOLS.iterdir():
        if path.is_file() and path.name != "buildkitd":
            (tools / path.name).symlink_to(path.resolve())
    (tools / "buildkitd").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo v0.32.2 && exit\necho "no such luck"; exit 1\n'
    )
    (tools / "buildkitd").chmod(0o755)
    with pytest.raises(ToolFailed, match="buildkitd does not start: no such luck"):
        used(yard.again(TOOLS=str(tools)))
    assert used(yard)


def test_a_stale_socket_is_no_daemon(yard: Yard) -> None:
    run = yard.config.buildkit / "run"
    run.mkdir(parents=True)
    subprocess.run(
        [sys.executable, "-c", "import socket; socket.socket(socket.AF_UNIX).bind('buildkitd.sock')"],
        cwd=run,
        check=True,
    )
    assert yard.buildkit.pid() is None
    assert used(yard)


def test_a_long_path_of_the_state_directory_is_no_hindrance(tmp_path: Path) -> None:
    with dockerfiles.yard(tmp_path / ("x" * 100) / "home") as made:
        assert used(made)
        assert made.buildkit.prune_cache() >= 0


def test_its_log_does_not_grow_for_ever(yard: Yard) -> None:
    used(yard)
    log = yard.config.buildkit / "buildkitd.log"
    with log.open("a") as file:
        file.write("x" * (2 << 20))
    yard.buildkit.stop()
    used(yard)
    assert log.stat().st_size < 1 << 20


def test_asking_starts_no_program(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    used(yard)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert not yard.buildkit.rest()
