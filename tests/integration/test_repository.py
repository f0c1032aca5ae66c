"""Bare repositories with real git: made, hooked, kept tidy."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from gitpaas.errors import CommandFailed
from gitpaas.git import repository

pytestmark = pytest.mark.needs("git")

WHO = ["-c", "user.name=t", "-c", "user.email=t@example.com"]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "repos" / "hello.git"
    repository.create(path, tmp_path)
    return path


def commit(path: Path, text: str) -> str:
    blob = repository.git(path, "hash-object", "-w", "--stdin", stdin=text.encode()).strip()
    tree = repository.git(path, "mktree", stdin=f"100644 blob {blob}\tfile\n".encode()).strip()
    return repository.git(path, *WHO, "commit-tree", tree, "-m", text[:50]).strip()


def test_it_is_made_with_our_hook_and_making_it_again_changes_nothing(made: Path, tmp_path: Path) -> None:
    repository.create(made, tmp_path)
    assert os.access(made / "hooks" / "post-receive", os.X_OK)
    assert repository.hook_is_current(made, tmp_path)
    assert repository.git(made, "config", "gitpaas.home").strip() == str(tmp_path)


def test_a_hook_of_an_older_program_is_noticed_and_renewed(made: Path, tmp_path: Path) -> None:
    (made / "hooks" / "post-receive").write_text("#!/bin/sh\nexit 1\n")
    assert not repository.hook_is_current(made, tmp_path)
    repository.install_hook(made, tmp_path)
    assert repository.hook_is_current(made, tmp_path)


def test_a_state_directory_that_has_moved_is_found_again(made: Path, tmp_path: Path) -> None:
    """Pushes with stock git would go on deploying into the one of before."""
    moved = tmp_path / "moved"
    assert not repository.hook_is_current(made, moved)
    repository.install_hook(made, moved)
    assert repository.hook_is_current(made, moved)
    assert repository.git(made, "config", "gitpaas.home").strip() == str(moved)


def test_a_repository_of_many_packs_is_packed_anew_and_keeps_what_is_held(made: Path) -> None:
    # given as many packs as 60 pushes leave, and a commit that only a build holds
    for number in range(60):
        new = commit(made, f"change {number}")
        repository.git(made, "update-ref", f"refs/heads/b{number}", new)
        repository.git(made, "repack", "-d", "-q", "--no-write-bitmap-index")
    held = commit(made, "held")
    repository.hold(made, 7, held)
    packs = made / "objects" / "pack"
    assert len(list(packs.glob("*.pack"))) == 60
    # when it is tidied
    repository.tidy(made)
    # then few packs are left, and nothing is lost
    deadline = time.monotonic() + 60
    while len(list(packs.glob("*.pack"))) > 2 or (made / "gc.pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert repository.read_ref(made, "refs/builds/7") == held
    assert subprocess.run(["git", "-C", made, "fsck", "--full"], capture_output=True, check=False).returncode == 0


def test_commits_are_counted_and_described(made: Path) -> None:
    first = commit(made, "one")
    assert repository.commit(made, first).subject == "one"
    assert repository.count_commits(made, "0" * 40, first) == 1
    assert repository.count_commits(made, first, first) == 0


def test_a_word_is_found_in_any_file_of_a_commit_but_large_ones(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, asks = commit(made, "nothing here\n"), commit(made, "echo $SOURCE_VERSION\n")
    large = commit(made, "SOURCE_VERSION" + " " * 300_000)

    found = [repository.mentions(made, one, "SOURCE_VERSION") for one in (plain, asks, large)]

    assert found == [False, True, False]
    # where there is too much to look at, it may be there
    monkeypatch.setattr(repository, "_MANY_BYTES", 5)
    assert repository.mentions(made, plain, "SOURCE_VERSION")


def test_paths_and_commits_that_there_are(made: Path) -> None:
    there = commit(made, "one")
    blob = repository.git(made, "rev-parse", f"{there}:file").strip()

    assert repository.entries(made, there, ["file", "other/file"]) == {"file": f"blob {blob}"}
    assert repository.existing(made, [there, "1" * 40, blob, there]) == {there}
    assert repository.existing(made, []) == set()


def test_refs_are_set_and_removed_together_or_not_at_all(made: Path) -> None:
    one, two = commit(made, "one"), commit(made, "two")
    repository.set_refs(made, {"refs/releases/v1": one, "refs/releases/v2": one})

    repository.set_refs(made, {"refs/releases/v1": two, "refs/releases/v2": None})

    assert repository.refs(made, "refs/releases/") == ["refs/releases/v1"]
    with pytest.raises(CommandFailed):
        repository.set_refs(made, {"refs/releases/v1": None, "refs/releases/v3": "1" * 40})
    assert repository.read_ref(made, "refs/releases/v1") == two
