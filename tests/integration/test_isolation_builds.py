"""What a pushed tree, and an instance that reaches into its app's own build, may not make root do. Each an attack."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from instances import UID, Host, host, output, python

from gitpaas import apps, linux, shell
from gitpaas import tree as trees
from gitpaas.config import Config
from gitpaas.errors import BuildFailed

pytestmark = pytest.mark.needs("root", "sandbox")

# Into the build of the same app (same user) by way of /proc; then `d` is by turns a directory and a link to STATE.
SWAP = """
import ctypes, os, time
def enter():
    while True:
        for pid in set(filter(str.isdigit, os.listdir("/proc"))) - {str(os.getpid())}:
            try:
                os.chdir(f"/proc/{pid}/root/app")
                open("mine", "w").close()
                return
            except OSError:
                time.sleep(0.001)
print("ready")
enter()
os.mkdir("d")
open("d/secret.key", "w").write("harmless")
os.symlink("STATE", "evil")
os.symlink("d/secret.key", "Procfile")
print("in")
while True:
    ctypes.CDLL(None).renameat2(-100, b"d", -100, b"evil", 2)  # RENAME_EXCHANGE
"""

# Deeper than Python's recursion goes, and deeper than a path can be long.
DIG = """
import os
for i in range(3000):
    os.mkdir("deep")
    os.chdir("deep")
open("bottom", "w").close()
"""


@pytest.fixture
def there(config: Config) -> Iterator[Host]:
    with host(config, UID) as made:
        yield made


def test_a_running_instance_cannot_make_root_read_through_a_link_it_swaps_in(there: Host) -> None:
    secret = there.config.home / "secret.key"
    secret.write_text("k3y")
    instance = there.start(python(SWAP.replace("STATE", str(there.config.home))))
    output(instance, "ready\n")
    tree = there.slug("tree")
    os.chown(tree, UID, UID)
    until_it_is_in = ["/bin/sh", "-c", "while [ ! -e mine ]; do sleep 0.1; done"]
    shell.run(linux.confine(until_it_is_in, linux.Sandbox(UID, tree, writable=True)), env={}, timeout=100)
    output(instance, "in\n")
    seen = set()
    began = time.monotonic()
    while (took := time.monotonic() - began) < 1 or (len(seen) < 2 and took < 60):
        try:
            seen.add(trees.read_bytes(tree, "Procfile"))
        except BuildFailed as error:
            seen.add(error.message.encode())
    assert seen <= {b"harmless", b"Procfile is a link that leaves the repository", None}
    assert len(seen) > 1  # it did swap


def test_an_instance_cannot_dig_so_deep_that_it_cannot_be_removed(there: Host) -> None:
    in_tmp = there.start(python(f"import os; os.chdir('/tmp'){DIG}"))
    in_app = there.start(python(DIG))
    for instance in (in_tmp, in_app):
        assert there.ended(instance).exit_code == 0
        there.runtime.stop(instance, grace=0)
    assert there.traces() == []


def test_a_build_cannot_dig_so_deep_that_it_cannot_be_weighed_and_removed(there: Host, tmp_path: Path) -> None:
    tree, kept = there.slug("tree"), tmp_path / "kept"
    os.chown(tree, UID, UID)
    kept.write_text("kept")
    (tree / "link").symlink_to(tmp_path)
    sandbox = linux.Sandbox(UID, tree, writable=True, mounts=there.spec("").artifact.mounts)
    step = linux.confine(["/bin/sh", "-c", python(DIG)], sandbox)
    assert shell.run(step, env={}, timeout=100).code == 0
    assert sum(1 for _ in trees.everything(tree)) > 500
    assert shell.remove(tree)
    assert not tree.exists()
    assert kept.read_text() == "kept"


def test_a_pushed_tree_of_many_levels_is_handed_over_whole(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    deepest = tree.joinpath(*["a"] * 1500)
    shell.capture(["mkdir", "-p", str(deepest)])
    (deepest / "link").symlink_to("/etc/passwd")
    apps.hand_over(tree, UID)
    assert (deepest / "link").lstat().st_uid == UID
    assert deepest.stat().st_gid == UID
    assert Path("/etc/passwd").stat().st_uid == 0
    assert shell.remove(tree)
