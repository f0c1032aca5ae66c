"""What an app may not do to the server, to other apps and to the machine. Each test is an attack."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from instances import MEGABYTE, UID, Host, host, is_alive, output, python

from gitpaas import health, linux, shell
from gitpaas.config import Config
from gitpaas.errors import Unhealthy
from gitpaas.linux import Process, processes
from gitpaas.linux.sandbox import launcher
from gitpaas.values import HealthCheck, Instance, Limits, Mount, Reach

pytestmark = pytest.mark.needs("root", "sandbox")

OTHER = UID + 1
SERVE = """
import os, socket
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("up")
while True:
    client, _ = server.accept()
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    client.close()
"""
SETUID = "import os; os.setuid(0); print('became', os.getuid())"


@pytest.fixture
def there(config: Config) -> Iterator[Host]:
    with host(config, UID) as made:
        yield made


def said(there: Host, command: str, **values: object) -> str:
    """All output of a command that ends by itself."""
    return output(there.ended(there.start(command, **values)))


def test_there_is_nothing_of_the_host_but_the_system(there: Host) -> None:
    names = set(said(there, "ls -A /").split())
    assert names - {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix"} == {
        *("app", "dev", "etc", "home", "opt", "proc", "root", "run", "tmp", "usr", "var")
    }
    listed = said(there, "ls -A /home /run /tmp /var/tmp /var/log /var/lib; cat /etc/shadow")
    assert [line for line in listed.splitlines() if line and not line.endswith(":")] == [
        "cat: /etc/shadow: Permission denied"
    ]


def test_the_state_directory_is_out_of_reach(there: Host) -> None:
    secret = there.config.home / "secret.key"
    secret.write_text("k3y")
    secret.chmod(0o644)
    text = said(there, f"cat {secret}; ls {there.config.home}; cat /proc/1/root{secret}; cat ../../../../{secret}")
    assert "k3y" not in text
    assert "instances" not in text


def test_a_link_in_the_slug_leads_nowhere(there: Host) -> None:
    secret = there.config.home / "secret.key"
    secret.write_text("k3y")
    (there.slug() / "link").symlink_to(secret)
    assert "No such file" in said(there, "cat link")


def test_files_of_another_app_are_out_of_reach(there: Host) -> None:
    theirs = there.slug("other", config="p4ssword")
    there.start("echo p4ssword >/tmp/own; echo p4ssword >/dev/shm/own; sleep 60", app="other", uid=OTHER)
    text = said(there, f"cat {theirs}/config /tmp/own /dev/shm/own; ls /tmp /dev/shm")
    assert "p4ssword" not in text
    assert text.count("No such file") == 3


def test_other_processes_are_not_even_listed(there: Host) -> None:
    other = there.start("sleep 60", app="other", uid=OTHER, env={"PASSWORD": "p4ssword"})
    pid = int((there.config.run / "instances" / f"{other.id}.pid").read_text().split()[0])
    probe = "cat /proc/[0-9]*/status /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -E '^Uid:|PASSWORD'"
    text = said(there, f"{probe}; ls /proc/{pid} /proc/{os.getpid()} /proc/1")
    assert {line for line in text.splitlines() if line.startswith("Uid:")} == {f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}"}
    assert "PASSWORD" not in text
    assert text.count("No such file") == 3


def test_others_cannot_be_signalled(there: Host) -> None:
    other = there.start("sleep 60", app="other", uid=OTHER)
    pid = int((there.config.run / "instances" / f"{other.id}.pid").read_text().split()[0])
    text = said(there, f"kill -9 {pid} {os.getpid()} 1; kill -9 -1; echo survived")
    assert "ermitted" in text
    assert is_alive(pid)
    assert there.now(other).state == "running"


def test_it_has_no_groups_and_no_capabilities_and_can_get_none(there: Host) -> None:
    status = said(there, "cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert (fields["NoNewPrivs"], fields["Groups"].strip()) == ("1", "")
    assert fields["Gid"].split() == [str(UID)] * 4


def test_it_cannot_become_root(there: Host) -> None:
    text = said(
        there, f"id -u; {python(SETUID).removeprefix('exec ')}; echo | su -c id; sudo -n id; unshare -Ur id; true"
    )
    assert text.startswith(f"{UID}\n")
    assert "became" not in text
    assert "uid=0" not in text


def test_setuid_programs_do_not_count(there: Host) -> None:
    program = there.slug() / "rootsh"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    assert said(there, "./rootsh -u") == f"{UID}\n"


def test_the_system_cannot_be_written(there: Host) -> None:
    text = said(
        there, "for d in / /usr /usr/bin /etc /opt /dev /root /home /run /var; do touch $d/mine && echo wrote $d; done"
    )
    assert "wrote" not in text


def test_it_cannot_mount_or_make_devices(there: Host) -> None:
    text = said(
        there, "mount -t tmpfs none /tmp; mknod /tmp/disk b 8 0; umount /usr; chroot /tmp /; ls -A /tmp; echo end"
    )
    assert text.endswith("\nend\n")
    assert "disk" not in text.splitlines()[-2]


def test_its_own_directory_is_its_own_and_the_slug_stays_as_built(there: Host) -> None:
    slug = there.slug(kept="as built")
    os.chown(slug / "kept", UID, UID)
    text = said(
        there, "echo changed >kept; mkdir data; echo more >data/file; cat kept data/file; pwd; touch /tmp/a; ls /tmp"
    )
    assert text == "changed\nmore\n/app\na\n"
    assert (slug / "kept").read_text() == "as built"
    assert said(there, "cat kept; ls") == "as builtkept\n"


def test_it_has_a_name_a_home_and_a_resolver(there: Host) -> None:
    there.slug()
    text = said(there, "id -un; echo ~app; id -gn; test -r /etc/resolv.conf && echo resolver; wc -l </etc/passwd")
    assert text == "app\n/app\napp\nresolver\n3\n"


def test_the_usual_devices_work(there: Host) -> None:
    text = said(
        there,
        "echo x >/dev/null && head -c3 /dev/zero | wc -c; head -c4 /dev/urandom | wc -c; ls /dev;"
        + python("import os; a, b = os.openpty(); print(os.ttyname(b))").removeprefix("exec ")
        + "; ls -A /dev/shm; cat /dev/sda /dev/mem /dev/vda",
    )
    assert text.startswith("3\n4\n")
    assert "/dev/pts/0" in text
    assert text.count("No such file") == 3


def test_a_mount_is_there_read_only_or_writable(there: Host, tmp_path: Path) -> None:
    for name in ("layer", "cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        os.chown(tmp_path / name, UID, UID)
    spec = there.spec("cat /layer/a/file /cache/file; touch /cache/new && echo ok; touch /layer/a/new || echo refused")
    mounts = (
        *spec.artifact.mounts,
        Mount(str(tmp_path / "layer"), "/layer/a"),
        Mount(str(tmp_path / "cache"), "/cache", writable=True),
    )
    text = said(there, spec.command, artifact=replace(spec.artifact, mounts=mounts))
    assert text.replace("touch: cannot touch '/layer/a/new': Read-only file system\n", "") == "layercacheok\nrefused\n"


def test_a_mount_never_goes_through_a_link_of_the_slug(there: Host, tmp_path: Path) -> None:
    (there.slug() / "storage").symlink_to("/etc")
    spec = there.spec("true")
    artifact = replace(spec.artifact, mounts=(Mount(str(tmp_path), "/app/storage"),))
    with pytest.raises(Exception, match="not a directory of its own: /app/storage"):
        there.start("true", artifact=artifact)


def test_a_private_directory_in_a_system_one_is_hidden_around_a_mount(there: Host) -> None:
    private = Path("/opt/gitpaas-test")
    layer = private / "layers" / "a"
    layer.mkdir(parents=True)
    private.chmod(0o700)
    try:
        (layer / "file").write_text("layer")
        (private / "secret").write_text("k3y")
        spec = there.spec(f"cat {layer}/file {private}/secret; ls {private}")
        artifact = replace(spec.artifact, mounts=(Mount(str(layer), str(layer)),))
        text = said(there, spec.command, artifact=artifact)
    finally:
        shell.capture(["rm", "-r", str(private)])
    assert text.startswith("layer")
    assert text.endswith("layers\n")
    assert "k3y" not in text


def test_a_writable_sandbox_builds_in_place(there: Host) -> None:
    tree = there.slug("tree")
    os.chown(tree, UID, UID)
    argv = linux.confine(["/bin/sh", "-c", "echo $WHAT >made; id -u"], linux.Sandbox(UID, tree, writable=True))
    done = shell.run(argv, env=linux.carry({"WHAT": "slug"}), timeout=60)
    assert (done.code, done.tail) == (0, (str(UID),))
    assert (tree / "made").read_text() == "slug\n"
    assert (tree / "made").stat().st_uid == UID


def test_an_environment_that_was_not_carried_is_refused(there: Host) -> None:
    argv = linux.confine(["/bin/true"], linux.Sandbox(UID, there.slug()))
    done = shell.run(argv, env={"LD_DEBUG": ""}, timeout=60)
    assert (done.code, done.tail) == (
        125,
        ("cannot start: the environment must go through linux.carry(), and LD_DEBUG did not",),
    )


def test_an_app_cannot_pass_for_another_by_listening_on_its_port_first(there: Host) -> None:
    thief = there.start(python(SERVE), listens=True, uid=OTHER)
    output(thief, "up")
    check, address = HealthCheck(path="/", timeout=5), str(thief.address)

    assert health.answers(Reach(address), check, owner=OTHER, timeout=60)
    assert not health.answers(Reach(address), check, owner=UID, timeout=60)
    with pytest.raises(Unhealthy, match=rf"another user's process listens there \(user id {OTHER}\)"):
        health.wait_until_healthy(lambda: Reach(address), check, lambda: True, owner=UID)


def needs_cgroups() -> None:
    if linux.cgroup_version() is None:
        pytest.skip("needs cgroups, which this machine does not have")


def test_a_fork_bomb_stops_at_its_limit_and_can_be_stopped(there: Host) -> None:
    needs_cgroups()
    code = (
        "import os, time\nn = 0\nwhile True:\n"
        " try: pid = os.fork()\n except OSError: print('limit', n); time.sleep(600)\n"
        " if pid == 0: time.sleep(600)\n n += 1\n"
        " if n > 500: print('no limit'); break"
    )
    instance = there.start(python(code), limits=Limits(256 * MEGABYTE, 30, 1024))
    assert "limit 29" in output(instance, "\n")
    start = time.monotonic()
    there.runtime.stop(instance, grace=0)
    assert time.monotonic() - start < 100
    assert not [p for p in linux.processes.marked(f"GITPAAS_INSTANCE={instance.id}") if p.is_alive()]


def test_a_bomb_that_forks_all_over_can_be_stopped(there: Host) -> None:
    needs_cgroups()
    code = "import os, time\nprint('lit')\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.01)"
    instance = there.start(python(code), limits=Limits(256 * MEGABYTE, 20, 1024))
    output(instance, "lit")
    time.sleep(0.2)
    there.runtime.stop(instance, grace=0)
    assert not [p for p in linux.processes.marked(f"GITPAAS_INSTANCE={instance.id}") if p.is_alive()]


def hog(there: Host, megabytes: int) -> Instance:
    code = f"a = bytearray({megabytes} << 20); a[::4096] = b'x' * len(a[::4096]); print('had it')"
    return there.ended(there.start(python(code), limits=Limits(64 * MEGABYTE, 30, 1024)))


def test_who_takes_more_memory_than_allowed_is_ended_and_it_is_told(there: Host) -> None:
    needs_cgroups()
    greedy, modest = hog(there, 128), hog(there, 20)
    assert (greedy.exit_code, greedy.oom, output(greedy)) == (137, True, "")
    assert (modest.exit_code, modest.oom, output(modest)) == (0, False, "had it\n")


def test_memory_files_count_too(there: Host) -> None:
    needs_cgroups()
    instance = there.start(
        "head -c 128m /dev/zero >/dev/shm/big; ls -s /dev/shm", limits=Limits(64 * MEGABYTE, 30, 1024)
    )
    assert "big" not in output(there.ended(instance)).replace("/dev/shm/big", "") or there.now(instance).oom


def test_open_files_are_limited(there: Host) -> None:
    code = "import os\nn = 3\ntry:\n while n < 999: os.dup(0); n += 1\nexcept OSError: print(n)"
    assert said(there, python(code), limits=Limits(None, None, 40)) == "40\n"


def test_rlimits_do_it_where_there_are_no_cgroups(there: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "cgroup", lambda name: None)
    greedy = hog(there, 300)
    assert greedy.exit_code == 1
    assert "MemoryError" in output(greedy)
    assert "had it" in output(hog(there, 20))
    assert "fork" in said(there, "for i in 1 2 3 4 5 6 7 8 9; do sleep 30 & done; wait", limits=Limits(None, 5, 64))


@pytest.mark.parametrize("how", ["", "env -i"])
def test_without_cgroups_stop_still_finds_everything(there: Host, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(linux, "cgroup", lambda name: None)
    instance = there.start(f"setsid {how} sleep 60 & echo $!; sleep 60")
    pid = int(output(instance, "\n"))
    other = there.start("sleep 60", number=2)
    there.runtime.stop(instance, grace=1)
    assert not is_alive(pid)
    assert there.now(other).state == "running"


@pytest.mark.parametrize("becomes", [False, True], ids=["never inside", "in a moment"])
def test_who_enters_an_instance_that_only_starts_does_not_see_the_host(becomes: bool) -> None:
    become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"] if becomes else []
    with subprocess.Popen(["/bin/sh", "-c", f"sleep 1; exec {' '.join(become)} sleep 600"]) as starting:
        first = processes.find(starting.pid)
        assert isinstance(first, Process)
        steps = ("join", str(first.pid), str(first.started), str(UID), "chdir", "/")
        entered = subprocess.run(
            launcher(["/bin/sh", "-c", "id -u; ls -d /"], steps), env={}, capture_output=True, text=True, check=False
        )
        starting.kill()
        if becomes:  # what it is in then is its place
            assert entered.stdout == f"{UID}\n/\n"
        else:
            assert entered.stdout == ""
            assert "only just starting" in entered.stderr
