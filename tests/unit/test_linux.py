from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitpaas import launch, linux
from gitpaas.linux import Sandbox, cgroups, hierarchies, processes, sandbox
from gitpaas.linux.cgroups import Cgroup
from gitpaas.linux.processes import Process
from gitpaas.values import Limits, Mount


def test_a_process_is_its_pid_and_its_start_time() -> None:
    me = processes.find(os.getpid())
    assert me is not None
    assert me.is_alive()
    assert not Process(me.pid, me.started + 1).is_alive()
    assert processes.find(2**22 + 1) is None


def test_a_name_with_blanks_and_brackets_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "60"])
    try:
        found = processes.find(child.pid)
        assert found is not None
        assert found.is_alive()
        assert Process(child.pid, found.started) == found
    finally:
        child.kill()
        child.wait()
    assert not found.is_alive()


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    process = processes.find(child.pid)
    assert process is not None
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.is_alive()
    child.wait()


def test_a_signal_goes_to_the_right_one_only() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = processes.find(child.pid)
    assert process is not None
    processes.send(Process(child.pid, process.started + 1), signal.SIGKILL)
    time.sleep(0.05)
    assert child.poll() is None
    processes.send(process, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    processes.send(process, signal.SIGKILL)


def test_waiting_for_the_first_to_end() -> None:
    children = [subprocess.Popen(["sleep", seconds]) for seconds in ("600", "601")]
    found = [process for child in children if (process := processes.find(child.pid))]
    start = time.monotonic()
    assert processes.wait_any(found, timeout=0.05) == []
    children[1].kill()
    assert processes.wait_any(found, timeout=100) == found[1:]
    assert time.monotonic() - start < 60
    children[0].kill()
    for child in children:
        child.wait()
    assert processes.wait_any(found, timeout=60) == found
    assert processes.wait_any([], timeout=0.01) == []


def test_marked_finds_whole_variables_only() -> None:
    own = f"{os.getpid()}"  # of this test run, beside others on the machine
    child = subprocess.Popen(["sleep", "60"], env={f"MARK{own}": "a b"})
    try:
        assert [process.pid for process in processes.marked(f"MARK{own}=a b")] == [child.pid]
        assert processes.marked(f"MARK{own}=a") == []
        assert processes.marked(f"ARK{own}=a b") == []
    finally:
        child.kill()
        child.wait()


def test_the_boot_id_stays() -> None:
    assert linux.boot_id() == linux.boot_id() != ""


def test_a_carried_environment_means_nothing_to_a_loader() -> None:
    assert linux.carry({"LD_PRELOAD": "x.so"}) == {"GITPAAS_CARRIED_LD_PRELOAD": "x.so"}


def test_the_launcher_is_isolated_from_the_environment_and_the_directory() -> None:
    argv = sandbox.launcher(["true"], ["session"])
    assert argv[:4] == [sys.executable, "-I", "-S", "-c"]
    assert argv[4] == launch.START
    assert argv[6:] == ["session", "--", "true"]


def steps(made: Sandbox) -> list[str]:
    return list(sandbox.inside(made, "/app"))


def ends_with(words: list[str], *wanted: str) -> bool:
    return words[-len(wanted) :] == list(wanted)


def test_an_instance_gets_an_overlay_and_a_tmp_on_the_disk(tmp_path: Path) -> None:
    made = steps(Sandbox(uid=7, app=Path("/slug"), scratch=tmp_path))
    assert made[0] == "root"
    text = " ".join(made)
    assert f"overlay /slug {tmp_path} 7 /app" in text
    assert f"tmp {tmp_path} /tmp" in text
    assert ends_with(made, "enter", "7", "chdir", "/app")


def test_without_scratch_memory_is_bounded_by_the_limit() -> None:
    made = steps(Sandbox(uid=7, app=Path("/slug"), limits=Limits(memory=1000)))
    assert made[made.index("tmpfs") :][:3] == ["tmpfs", "/tmp", "mode=1777,size=1000"]
    assert made[made.index("dev") :][:3] == ["dev", "/dev", "mode=1777,size=1000"]
    assert made[made.index("overlay") :][:5] == ["overlay", "/slug", "", "7", "/app"]


def test_a_build_writes_in_place() -> None:
    made = steps(Sandbox(uid=7, app=Path("/tree"), writable=True))
    assert made[made.index("write") :][:3] == ["write", "/tree", "/app"]
    assert "overlay" not in made


def test_mounts_come_shallow_first_and_those_of_the_system_not_at_all(tmp_path: Path) -> None:
    mounts = (
        Mount("/host/deep", "/data/a/b"),
        Mount("/host/top", "/data", writable=True),
        Mount("/usr", "/usr"),
    )
    assert list(sandbox._mounts(mounts)) == ["write", "/host/top", "/data", "read", "/host/deep", "/data/a/b"]


@pytest.mark.parametrize(
    ("path", "kind"), [("systemd/resolve/stub-resolv.conf", "directory"), ("resolv.conf", "directory")]
)
def test_a_resolver_elsewhere_is_brought_along(tmp_path: Path, path: str, kind: str) -> None:
    real = tmp_path / path
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_text("nameserver 127.0.0.53\n")
    link = tmp_path / "link"
    link.symlink_to(real)
    assert list(sandbox._resolver(link)) == ["read", str(real.parent), str(real.parent)]
    assert list(sandbox._resolver(tmp_path / "none")) == []


def test_rlimits_replace_a_cgroup_and_leave_a_users_own_processes_alone() -> None:
    wanted = Limits(memory=100, processes=5, files=9)
    group = Cgroup("v2", (Path("/g"),))
    always = ["limit", "CORE", "0", "limit", "NOFILE", "9"]
    assert list(sandbox.limits(wanted, 7, group)) == always
    assert list(sandbox.limits(wanted, 7, None)) == [*always, "limit", "NPROC", "5", "limit", "DATA", "200"]
    assert "NPROC" not in list(sandbox.limits(wanted, None, None))
    assert list(sandbox.joined(group)) == ["cgroup", "/g"]


MOUNTINFO = """\
24 30 0:22 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
25 24 0:23 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate
28 24 0:26 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory
29 24 0:27 /docker/abc /sys/fs/cgroup/pids rw shared:16 - cgroup cgroup rw,pids
"""


def test_hierarchies_of_both_kinds_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    own = "4:memory:/system.slice/x.service\n8:pids:/docker/abc/inner\n0::/user.slice\n"
    texts = {"/proc/self/mountinfo": MOUNTINFO, "/proc/self/cgroup": own}
    monkeypatch.setattr(hierarchies, "read", lambda path: texts[str(path)])
    top = Path("/sys/fs/cgroup")
    assert list(hierarchies._hierarchies()) == [
        ("v2", [(top / "unified", top / "unified/user.slice")]),
        ("v1", [(top / "memory", top / "memory/system.slice/x.service"), (top / "pids", top / "pids/inner")]),
    ]


def test_v2_limits_and_what_the_kernel_killed(tmp_path: Path) -> None:
    group = Cgroup("v2", (tmp_path / "group",))
    group.create(Limits(memory=1000, processes=7))
    (tmp_path / "group/memory.swap.max").touch()
    group.create(Limits(memory=1000, processes=7))
    written = {path.name: path.read_text() for path in (tmp_path / "group").iterdir()}
    assert written == {"memory.max": "1000", "memory.swap.max": "0", "pids.max": "7"}
    (tmp_path / "group/memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert group.ooms() == 2
    group.forbid_forks()
    assert (tmp_path / "group/pids.max").read_text() == "0"


def test_v2_controllers_are_turned_on_where_they_are_ours(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    control = tmp_path / "cgroup.subtree_control"
    control.write_text("cpu\n")
    assert hierarchies._hands_down(tmp_path, own=tmp_path / "below")
    assert control.read_text() == "+memory +pids"
    control.write_text("memory pids\n")
    assert hierarchies._hands_down(tmp_path, own=tmp_path / "below")
    assert control.read_text() == "+cpu", "welcome, not needed"
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    assert not hierarchies._hands_down(tmp_path, own=tmp_path)


@pytest.mark.parametrize(
    ("version", "names"), [("v2", {"cpu.max": "150000 100000"}), ("v1", {"cpu.cfs_quota_us": "150000"})]
)
def test_cpus_are_limited_where_the_machine_can(
    tmp_path: Path, version: cgroups.Version, names: dict[str, str]
) -> None:
    cpu, elsewhere = tmp_path / "cpu", tmp_path / "memory"
    cpu.mkdir()
    for name in names:
        (cpu / name).touch()
    Cgroup(version, (elsewhere, tmp_path / "pids", cpu)).create(Limits(cpus=1.5))
    assert {name: (cpu / name).read_text() for name in names} == names
    assert list(elsewhere.iterdir()) == []


def test_a_group_has_an_inner_path_when_all_controllers_call_it_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchies, "read", lambda path: MOUNTINFO)
    memory, pids = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/pids")
    assert hierarchies.inner_path(Cgroup("v1", (memory / "gitpaas.x", pids / "gitpaas.x"))) == "/gitpaas.x"
    assert hierarchies.inner_path(Cgroup("v1", (memory / "user/gitpaas.x", pids / "gitpaas.x"))) is None


@pytest.mark.needs("root")
def test_a_group_of_this_machine_limits_lists_and_goes_away() -> None:
    group = linux.cgroup(f"unit-test-{os.getpid()}")
    if group is None:
        pytest.skip("needs cgroups, which this machine does not have")
    group.create(Limits(memory=32 << 20, processes=5))
    child = subprocess.Popen(["sleep", "60"])
    try:
        for path in group.paths:
            (path / "cgroup.procs").write_text(str(child.pid))
        assert [process.pid for process in group.members()] == [child.pid]
        assert group.ooms() == 0
    finally:
        child.kill()
        child.wait()
    group.remove()
    group.remove()
    assert not any(path.exists() for path in group.paths)
    assert group.members() == []


COUNTING = """\
28 24 0:26 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory
29 24 0:27 / /sys/fs/cgroup/pids rw shared:16 - cgroup cgroup rw,pids
30 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:17 - cgroup cgroup rw,cpu,cpuacct
"""


def test_controllers_that_share_a_hierarchy_are_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"/proc/self/mountinfo": COUNTING, "/proc/self/cgroup": "4:memory:/\n8:pids:/\n9:cpu,cpuacct:/\n"}
    monkeypatch.setattr(hierarchies, "read", lambda path: texts[str(path)])
    ((version, places),) = hierarchies._hierarchies()
    assert (version, [point.name for point, _ in places]) == ("v1", ["memory", "pids", "cpu,cpuacct"])


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (
            "v2",
            {
                "memory.current": "9000\n",
                "memory.stat": "anon 1\ninactive_file 2000\n",
                "cpu.stat": "usage_usec 1500000\n",
            },
        ),
        (
            "v1",
            {
                "memory.usage_in_bytes": "9000\n",
                "memory.stat": "inactive_file 1\ntotal_inactive_file 2000\n",
                "cpuacct.usage": "1500000000\n",
            },
        ),
    ],
)
def test_what_a_group_takes(tmp_path: Path, version: cgroups.Version, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    group = Cgroup(version, (tmp_path,))
    assert linux.usage.of_group(group) is None, "nobody is in it"
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    found = linux.usage.of_group(group)
    assert found is not None
    assert (found.memory, found.cpu) == (7000, 1.5)


def test_a_group_is_found_by_the_name_of_one_above(tmp_path: Path) -> None:
    paths = (tmp_path / "memory/docker/abc/init.scope", tmp_path / "pids/docker/abc")
    own = Cgroup("v1", paths).within("abc")
    assert own == Cgroup("v1", (tmp_path / "memory/docker/abc", tmp_path / "pids/docker/abc"))
    assert Cgroup("v1", paths).within("another") is None
