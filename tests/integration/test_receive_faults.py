"""Broken, hostile and unlucky pushes: nothing is left behind, nobody else is harmed, the next push works."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import struct
import subprocess
import threading
import zlib
from contextlib import contextmanager

import pytest

from tests.integration.conftest import eventually, run

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh")]

ZERO = "0" * 40
HOSTILE_APPS = (
    "../hello", "hello/../../x", "/etc/passwd", ".git", ".", "..", "a/b", "Hello", "hello.git.git", "-x", "x-", "a b",
    "x" * 64, "x" * 300, "ünï", "a\\b", "~hello", "hello\n", "*",
)  # fmt: skip
CAPABILITIES = "report-status side-band-64k"


def packet(line):
    data = line if isinstance(line, bytes) else line.encode()
    return b"%04x" % (len(data) + 4) + data


def request(commands, pack=b"", capabilities=CAPABILITIES):
    """What a client sends: ref commands, then the pack."""
    first, *rest = commands
    head = first if isinstance(first, bytes) else first.encode()
    lines = [packet(head + b"\0" + capabilities.encode()), *map(packet, rest)]
    return b"".join(lines) + b"0000" + pack


def raw_push(door, data, app="hello", **how):
    """Speak receive-pack by hand through the real ssh."""
    return door.ssh(f"git-receive-pack '{app}'", stdin=data, **how)


def pack_of(work, *revisions):
    names = "".join(f"{name}\n" for name in revisions)
    argv = ["git", "pack-objects", "--revs", "--stdout", "-q"]
    return subprocess.run(argv, cwd=work.path, input=names.encode(), capture_output=True, check=True).stdout


def make_pack(*entries):
    """A pack of (type, size said, data) entries, each compressed, with a right checksum."""
    body = b"PACK" + struct.pack(">II", 2, len(entries))
    for kind, size, prefix, data in entries:
        byte, size = (kind << 4) | (size & 15), size >> 4
        while size:
            body += bytes([byte | 0x80])
            byte, size = size & 0x7F, size >> 7
        body += bytes([byte]) + prefix + zlib.compress(data)
    return body + hashlib.sha1(body).digest()


def test_a_pack_cut_short_leaves_nothing(door, work):
    work.push("main:first").ok()
    new = work.commit("two")
    pack = pack_of(work, "main", "^HEAD~1")

    raw_push(door, request([f"{ZERO} {new} refs/heads/cut"], pack[: len(pack) // 2]))

    assert door.ref("refs/heads/cut") is None
    eventually(lambda: door.leftovers() == [])
    work.push("main:cut").ok()
    door.fsck()


def test_a_client_killed_in_the_middle_of_its_pack_leaves_nothing(door, work):
    work.push("main:first").ok()
    (work.path / "random").write_bytes(os.urandom(20_000_000))
    new = work.commit("two")
    data = request([f"{ZERO} {new} refs/heads/cut"], pack_of(work, "main"))
    client = subprocess.Popen(
        [*door.ssh_argv(), "x@127.0.0.1", "git-receive-pack hello"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    client.stdin.write(data[:10_000_000])
    client.stdin.flush()
    eventually(lambda: door.leftovers())

    client.kill()
    client.wait()
    client.stdin.close()

    eventually(lambda: door.leftovers() == [])
    work.push("main:cut").ok()


@pytest.mark.parametrize("place", [0, 40, -30, -1])
def test_a_corrupt_pack_is_refused_and_leaves_nothing(door, work, place):
    work.push("main:first").ok()
    new = work.commit("two" * 1000)
    pack = bytearray(pack_of(work, "main", "^HEAD~1"))
    pack[place] ^= 0xFF

    done = raw_push(door, request([f"{ZERO} {new} refs/heads/bad"], bytes(pack)))

    assert "The push was refused" in done.out
    assert "ng refs/heads/bad unpacker error" in done.out
    assert door.ref("refs/heads/bad") is None
    assert door.leftovers() == []
    door.fsck()


def test_a_bomb_of_deltas_is_refused_within_limits(door, work):
    """One small blob, then deltas that each copy their base many times: gigabytes from a few hundred bytes."""
    work.push("main:first").ok()
    size = 64 * 1024
    entries, previous = [(3, size, b"", bytes(size))], size
    offsets = []
    for _ in range(5):
        copies = 32 if previous * 32 < 1 << 32 else 1
        copy = b"\xf0" + previous.to_bytes(3, "little") if previous < 1 << 24 else b"\xf0\xff\xff\xff"
        delta = varint(previous) + varint(copies * min(previous, 0xFFFFFF)) + copy * copies
        entries.append((6, len(delta), None, delta))
        previous = copies * min(previous, 0xFFFFFF)
    pack = bomb(entries, offsets)

    done = raw_push(door, request([f"{ZERO} {work.head()} refs/heads/bomb"], pack), timeout=100)

    assert len(pack) < 2000
    assert "The push was refused" in done.out
    assert door.leftovers() == []
    work.push("main:next").ok()


def varint(number):
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def bomb(entries, offsets):
    """Like make_pack, each delta on top of the entry before it."""
    body = b"PACK" + struct.pack(">II", 2, len(entries))
    for kind, size, _, data in entries:
        offsets.append(len(body))
        byte, size = (kind << 4) | (size & 15), size >> 4
        while size:
            body += bytes([byte | 0x80])
            byte, size = size & 0x7F, size >> 7
        body += bytes([byte])
        if kind == 6:
            distance = offsets[-1] - offsets[-2]
            back = bytes([distance & 0x7F])
            while distance := distance >> 7:
                distance -= 1
                back = bytes([distance & 0x7F | 0x80]) + back
            body += back
        body += zlib.compress(data)
    return body + hashlib.sha1(body).digest()


def test_a_full_disk_is_said_in_words_and_the_next_push_works(door, work, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("gitpaas.ssh.ingest.tempfile.mkdtemp", full)
        done = work.push("main").failed(1)

    assert "No space left on device" in done.err
    assert "(unpacker error)" in done.err
    work.push("main").ok()


@pytest.mark.needs("root")
def test_a_disk_that_fills_up_during_a_push_leaves_nothing_behind(door, work):
    work.push("main").ok()
    objects, kept = door.repository() / "objects", door.desk / "kept"
    shutil.copytree(objects, kept)
    run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", objects]).ok()
    try:
        shutil.copytree(kept, objects, dirs_exist_ok=True)
        (work.path / "random").write_bytes(os.urandom(10_000_000))
        work.commit("too much")

        done = work.push("main").failed(1)

        assert "No space left on device" in done.err
        assert door.leftovers() == []
        work.git("reset", "-q", "--hard", "HEAD~1").ok()
        work.commit("two")
        work.push("main").ok()
    finally:
        run(["umount", objects]).ok()


def test_a_pack_larger_than_the_limit_is_refused_in_words(open_door):
    door = open_door(max_push_size=1_000_000)
    work = door.clone()
    (work.path / "random").write_bytes(os.urandom(5_000_000))
    work.commit()

    done = work.push("main").failed()

    assert "maximum allowed size" in done.err
    assert door.leftovers() == []
    assert door.ref("refs/heads/main") is None


def test_a_push_whose_objects_do_not_connect_is_refused(door, work):
    work.push("main:first").ok()
    work.commit("two")
    new = work.commit("three")

    done = raw_push(door, request([f"{ZERO} {new} refs/heads/holes"], pack_of(work, "main", "^main~1")))

    assert "did not receive expected object" in done.out
    assert "ng refs/heads/holes unpacker error" in done.out
    assert door.ref("refs/heads/holes") is None
    assert door.leftovers() == []
    door.fsck()


def test_of_two_refs_only_the_one_with_holes_is_refused(door, work):
    work.push("main:first").ok()
    whole = work.commit("two")
    pack = pack_of(work, "main", "^main~1")

    commands = [f"{ZERO} {whole} refs/heads/whole", f"{ZERO} {'1' * 40} refs/heads/holes"]
    done = raw_push(door, request(commands, pack))

    assert "ok refs/heads/whole" in done.out
    assert "ng refs/heads/holes missing necessary objects" in done.out
    assert door.ref("refs/heads/whole") == whole


def test_a_branch_must_point_at_a_commit(door, work):
    work.push("main:first").ok()
    tree = work.head("HEAD^{tree}")

    done = work.push(f"{tree}:refs/heads/tree").failed(1)

    assert "(a branch must point at a commit)" in done.err
    work.push(f"{tree}:refs/tags/tree").ok()


@pytest.mark.parametrize(
    "name",
    [".git/config", "sub/.git/hooks/x", "..", "a/../../b", ".GIT/x"],
)
def test_a_tree_that_would_escape_at_checkout_is_refused(door, work, name):
    blob = work.git("hash-object", "-w", "--stdin", stdin="evil").ok().out.strip()
    tree = blob
    for part in reversed(name.split("/")):
        mode = b"100644" if tree == blob else b"40000"
        raw = mode + b" " + part.encode() + b"\0" + bytes.fromhex(tree)
        tree = work.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw).ok().out.strip()
    commit = work.git("commit-tree", "-m", "evil", tree).ok().out.strip()

    done = work.push(f"{commit}:refs/heads/main").failed(1)

    assert "unpacker error" in done.err
    assert door.ref("refs/heads/main") is None
    assert door.leftovers() == []


def test_defects_of_honest_old_histories_are_let_in(door, work):
    raw = f"tree {work.head('HEAD^{tree}')}\nauthor A <a@b>  1234 +051800\ncommitter A <a@b> 1234 +0000\n\nold\n"
    old = work.git("hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=raw).ok().out.strip()

    work.push(f"{old}:refs/heads/old").ok()

    assert door.ref("refs/heads/old") == old


@pytest.mark.parametrize(
    "name",
    [
        "HEAD",
        "config",
        "../../etc/passwd",
        "refs/heads/../../../etc/passwd",
        "refs/heads/..",
        "refs/heads/a..b",
        "refs/heads/.git",
        "refs/heads/x.lock",
        "refs/heads/x.lock/y",
        "refs/heads//x",
        "refs/heads/x/",
        "refs/heads/",
        "refs/",
        "refs",
        "/refs/heads/x",
        "refs/heads/a b",
        "refs/heads/a\tb",
        "refs/heads/a\x01b",
        "refs/heads/a\x7fb",
        "refs/heads/a~1",
        "refs/heads/a^",
        "refs/heads/a:b",
        "refs/heads/a?*[",
        "refs/heads/@{1}",
        "refs/heads/a\\b",
        "refs/heads/" + "x" * 300,
        "refs/heads/" + "x/" * 150 + "x",
        b"refs/heads/\xff\xfe",
        "refs/builds/1",
        "refs/builds",
        "refs/releases/v1",
        "refs/releases",
        "refs/notes/releases",
        "refs/notes/releases/v1",
    ],
)
def test_a_hostile_ref_name_is_refused_and_the_others_are_not(door, work, name):
    work.push("main:first").ok()
    raw = name if isinstance(name, bytes) else name.encode()
    head = work.head().encode()

    commands = [ZERO.encode() + b" " + head + b" " + raw, ZERO.encode() + b" " + head + b" refs/heads/good"]
    done = raw_push(door, request(commands, pack_of(work, "main")))

    assert "funny refname" in done.out or "hidden ref" in done.out
    assert "ok refs/heads/good" in done.out
    assert sorted(path.name for path in (door.repository() / "refs" / "heads").iterdir()) == ["first", "good"]


@pytest.mark.parametrize(
    "name", ["ünï", "emoji-🚀", "x" * 200, "a/b/c", "releases/v1", "-dash", "semi;colon", "$(id)", "quote'quote"]
)
def test_an_unusual_but_sane_ref_name_is_taken(door, work, name):
    work.push(f"main:refs/heads/{name}").ok()

    assert door.ref(f"refs/heads/{name}") == work.head()
    assert f"refs/heads/{name}" in work.git("ls-remote", "paas").ok().out


def test_a_nul_in_a_ref_name_is_not_a_way_in(door, work):
    work.push("main:first").ok()
    lines = packet(f"{ZERO} {work.head()} refs/heads/one\0{CAPABILITIES}")
    lines += packet(f"{ZERO} {work.head()} refs/heads/two\0/../../x")

    done = raw_push(door, lines + b"0000" + pack_of(work, "main"))

    assert "ng refs/heads/two" in done.out
    assert "ok refs/heads/one" in done.out


@pytest.mark.parametrize("service", ["git-receive-pack", "git-upload-pack", "git-upload-archive"])
def test_a_hostile_app_name_is_refused_in_words(door, service):
    for app in HOSTILE_APPS:
        done = door.ssh(f"{service} '{app}'").failed(2)
        assert "is not an app name" in done.err, app

    assert list(door.config.repos.iterdir()) == []


@pytest.mark.parametrize(
    "line", ["git-receive-pack", "git-receive-pack a b", "git receive-pack ''", "git-receive-pack --x hello"]
)
def test_a_git_command_of_another_shape_is_refused(door, line):
    door.ssh(line).failed(2)


@pytest.mark.parametrize("path", ["hello", "/hello", "hello.git", "/hello.git", "hello/"])
def test_ways_to_name_the_app(door, work, path):
    work.git("push", f"ssh://x@127.0.0.1/{path.removeprefix('/')}", "main").ok()
    work.git("push", f"x@127.0.0.1:{path}", "main:other").ok()

    assert [name for name, _ in door.apps.made] == ["hello"]


def test_old_clients_say_git_receive_pack_without_the_dash(door, work):
    work.push("--receive-pack=git receive-pack", "main").ok()

    assert door.ref("refs/heads/main") == work.head()


def test_a_key_that_may_only_read_fetches_but_does_not_push(door, work):
    work.push("main").ok()
    door.add_key("reader", "read")
    work.key = "reader"
    work.git("fetch", "-q", "paas").ok()
    work.commit("two")

    done = work.push("main").failed()

    assert "A push needs the role deploy for hello; you have read." in done.err
    assert door.ref("refs/heads/main") == work.head("HEAD~1")


def test_a_key_that_may_only_read_is_told_what_making_an_app_needs(door, work):
    door.add_key("reader", "read")
    work.key = "reader"

    done = work.push("main").failed()

    assert "A push that makes an app needs the role deploy for all apps; you have read." in done.err
    assert "access:add --all reader --role deploy" in done.err


def test_a_push_that_may_not_make_an_app_is_told_so(door, work):
    door.apps.may_create = False

    done = work.push("main").failed(1)

    assert "pushes do not make apps here" in done.err
    assert "First: apps:create" in done.err
    assert "(not allowed)" in done.err


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"zzzz", b"0001", b"0003", b"00", b"ffff" + b"x" * 100, packet("nonsense"), packet("a b c") + b"0000",
     packet(f"{ZERO} {ZERO} refs/heads/x\0no-such-capability") + b"0000", b"0004" * 100, os.urandom(5000)],
)  # fmt: skip
def test_rubbish_instead_of_the_protocol_ends_the_session_only(door, work, data):
    work.push("main:first").ok()

    raw_push(door, data)

    assert door.leftovers() == []
    work.push("main:next").ok()


def test_of_concurrent_pushes_to_one_ref_one_wins_and_the_others_fetch_first(door, work):
    work.push("main:shared").ok()
    works = []
    for number in range(4):
        work.git("clone", "-q", "-b", "shared", door.url(), str(door.desk / f"clone{number}")).ok()
        works.append(door.clone_of(f"clone{number}"))
        works[-1].commit(f"by {number}", f"{number}.txt")
    done = [None] * len(works)

    def push(number):
        done[number] = works[number].push("HEAD:shared")

    threads = [threading.Thread(target=push, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winners = [number for number, result in enumerate(done) if result.code == 0]
    assert len(winners) == 1
    assert door.ref("refs/heads/shared") == works[winners[0]].head()
    assert all(
        "fetch first" in done[number].err or "failed to lock" in done[number].err
        for number in range(4)
        if number not in winners
    )
    assert door.leftovers() == []
    door.fsck()


def test_a_ref_command_with_a_wrong_old_value_is_told_to_fetch_first(door, work):
    work.push("main:x").ok()
    pack = pack_of(work, "main")

    done = raw_push(
        door, request([f"{'1' * 40} {work.head()} refs/heads/x", f"{ZERO} {work.head()} refs/heads/x2"], pack)
    )

    assert "ng refs/heads/x fetch first" in done.out
    assert "ok refs/heads/x2" in done.out


def test_the_deploy_branch_with_a_wrong_old_value_never_reaches_the_hook(door, work):
    work.push("main").ok()
    door.hook_lines()

    done = raw_push(door, request([f"{'1' * 40} {work.head()} refs/heads/main"], pack_of(work, "main")))

    assert "ng refs/heads/main fetch first" in done.out
    assert door.hook_lines() == []


@contextmanager
def git_at_work(door, *moves):
    """A git that holds the locks of these refs, (ref, new, old), and has moved none yet."""
    argv = ["git", f"--git-dir={door.repository()}", "update-ref", "--stdin"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        lines = ["start", *(f"update {' '.join(move)}" for move in moves), "prepare"]
        holder.stdin.write("".join(f"{line}\n" for line in lines))
        holder.stdin.flush()
        assert [holder.stdout.readline() for _ in range(2)] == ["start: ok\n", "prepare: ok\n"]
        yield holder


def test_a_git_that_was_killed_while_it_moved_refs_stands_in_nobodys_way(door, work):
    work.push("main:first").ok()
    work.git("tag", "v1").ok()
    work.git("tag", "v2").ok()
    names = ["refs/tags/v1", "refs/tags/v2", "refs/heads/other"]
    with git_at_work(door, *((name, work.head(), ZERO) for name in names)) as holder:
        holder.kill()
    tags = door.repository() / "refs" / "tags"
    (tags / "v1.lock").rename(tags / "v1")  # half of it is written: as git does it, the lock of a ref becomes the ref
    assert len(door.leftovers()) == 2

    work.push("v1", "v2", "main:other", ":first").ok()

    assert door.leftovers() == []
    assert [door.ref(name) for name in (*names, "refs/heads/first")] == [work.head()] * 3 + [None]
    door.fsck()


def test_a_lock_that_a_git_holds_is_left_to_it(door, work):
    work.push("main:first").ok()
    old, new = work.head(), work.commit("two")
    work.push("main:second").ok()
    with git_at_work(door, ("refs/heads/first", new, old)) as holder:
        assert "failed to lock" in work.push("-f", "HEAD~1:second", "main:first").failed(1).err

        holder.communicate("commit\n", timeout=60)
    assert door.ref("refs/heads/first") == new
    assert door.ref("refs/heads/second") == old
    assert door.leftovers() == []


def test_a_lock_of_the_shallow_boundary_that_a_killed_server_left(door, work, monkeypatch):
    monkeypatch.setattr("gitpaas.ssh.shallow._PATIENCE", 0.1)
    work.push("main:first").ok()
    work.commit("two")
    work.commit("three")
    run(["git", "clone", "-q", "--depth", "1", f"file://{work.path}", str(door.desk / "shallow")]).ok()
    (door.repository() / "shallow.lock").write_text("")

    door.clone_of("shallow").push("main:second").ok()

    assert (door.repository() / "shallow").read_text().split() == [work.head()]
    assert door.leftovers() == []


def test_a_directory_in_the_way_of_a_ref_is_an_honest_no(door, work):
    work.push("main:a").ok()

    done = work.push("main:a/b", "main:c").failed(1)

    assert "[remote rejected] main -> a/b (failed to update ref)" in done.err
    assert door.ref("refs/heads/c") == work.head()


def test_a_hook_that_is_killed_rejects_the_push(door, work):
    door.apps.hook = "kill -9 $$"

    assert "(build failed)" in work.push("main").failed(1).err

    door.apps.hook = "git update-ref refs/heads/main $(tail -n 1 {record}/lines | cut -d' ' -f2)"
    work.push("main").ok()


def test_a_client_that_goes_while_the_hook_runs_leaves_it_running(door, work):
    door.apps.hook = "while [ ! -e {record}/go ]; do sleep 0.05; done; touch {record}/finished"
    before = threading.active_count()
    client = subprocess.Popen(
        ["git", "push", "paas", "main"],
        cwd=work.path,
        env=door.git_env(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while b"Building" not in client.stderr.readline():
        pass

    os.killpg(client.pid, signal.SIGKILL)
    client.communicate()

    eventually(lambda: threading.active_count() <= before)
    assert not (door.apps.record / "finished").exists()
    (door.apps.record / "go").touch()
    eventually(lambda: (door.apps.record / "finished").exists())


def test_the_hook_outlives_the_server(door, work):
    door.apps.hook = "sleep 1; touch {record}/finished"
    client = subprocess.Popen(
        ["git", "push", "paas", "main"], cwd=work.path, env=door.git_env(), stderr=subprocess.PIPE
    )
    while b"Building" not in client.stderr.readline():
        pass

    door.server.stop()

    client.communicate()
    assert client.returncode != 0
    eventually(lambda: (door.apps.record / "finished").exists())


def test_a_silent_hook_keeps_the_connection_alive(door, work, monkeypatch):
    monkeypatch.setattr("gitpaas.ssh.follow.SILENCE", 0.5)
    door.apps.hook = "sleep 5"
    work.push("main:first").ok()

    done = raw_push(door, request([f"{ZERO} {work.head()} refs/heads/main"], pack_of(work, "main")))

    assert done.out.count("0005\x01") >= 2


def test_a_background_child_of_the_hook_does_not_hold_the_push(door, work):
    door.apps.hook = "sleep 200 & exit 0"

    work.push("main", timeout=100).ok()


def test_a_hook_that_cannot_run_is_said_in_words(door, work, monkeypatch):
    work.push("main:first").ok()
    monkeypatch.setattr(type(door.apps), "for_push", lambda *_: None)
    (door.repository() / "hooks" / "post-receive").unlink(missing_ok=True)

    done = work.push("main").failed(1)

    assert "cannot run hooks/post-receive: No such file or directory" in done.err
    assert "(build failed)" in done.err


def test_what_a_killed_server_left_is_swept_at_the_next_start(open_door):
    door = open_door()
    work = door.clone()
    work.commit()
    work.push("main").ok()
    left = door.repository() / "objects" / "tmp_objdir-incoming-left"
    (left / "pack").mkdir(parents=True)
    (left / "pack" / "tmp_pack_x").write_text("half")
    door.server.stop()

    door.server._stopping.clear()
    door.server.start()

    assert door.leftovers() == []


def test_the_same_repository_serves_stock_git(door, work):
    work.push("main").ok()

    run(["git", "clone", "-q", str(door.repository()), str(door.desk / "stock")], env=door.git_env()).ok()

    assert (door.desk / "stock" / "file.txt").read_text() == "one"
