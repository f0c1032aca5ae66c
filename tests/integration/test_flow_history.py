"""Releases in the repository: refs and notes that say the same as the database, whoever is killed in between."""

from __future__ import annotations

import re
import subprocess

import pytest
from flow import ALICE, Flow

from gitpaas import deploy
from gitpaas.git import repository
from gitpaas.git.repository import NOTES
from gitpaas.releases import history
from gitpaas.store import Release


def git(flow: Flow, *arguments: str) -> str:
    return repository.git(flow.config.repository("hello"), *arguments)


def refs(flow: Flow) -> dict[str, str]:
    """{"v1": commit}"""
    lines = git(flow, "for-each-ref", "--format=%(refname) %(objectname)", "refs/releases/v*").splitlines()
    return {ref.removeprefix("refs/releases/"): commit for ref, commit in map(str.split, lines)}


def note(flow: Flow, commit: str) -> list[str]:
    """The note's lines without the moment."""
    lines = git(flow, "notes", "--ref=releases", "show", commit).splitlines()
    return [re.sub(r"  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  ", " ", line) for line in lines]


def test_each_release_is_a_ref_and_a_line_of_its_commit_s_note(flow: Flow) -> None:
    first, second = flow.deploy(), flow.deploy()
    deploy.set_config(flow.platform, flow.app, {"A": "secret"}, ALICE, flow.out)
    deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out)

    assert refs(flow) == {"v1": first.commit, "v2": second.commit, "v3": second.commit, "v4": first.commit}
    assert note(flow, first.commit) == [
        f"v1 Deploy {first.commit[:7]}, by alice",
        "v4 Rollback to v1, by alice",
    ]
    assert note(flow, second.commit) == [f"v2 Deploy {second.commit[:7]}, by alice", "v3 Set A, by alice"]
    assert git(flow, "rev-parse", "refs/releases/notes") == git(flow, "rev-parse", "refs/notes/releases")
    git(flow, "fsck", "--strict")


def test_release_that_failed_is_none(flow: Flow) -> None:
    first = flow.deploy()
    assert flow.push(flow.commit(first_py="raise SystemExit(3)")) == 1
    assert refs(flow) == {"v1": first.commit}


def test_what_was_not_written_the_next_release_makes_up_for(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(history, "record", lambda *_: None)  # killed before it
        first, second = flow.deploy(), flow.deploy()
    assert refs(flow) == {}

    third = flow.deploy()

    assert refs(flow) == {"v1": first.commit, "v2": second.commit, "v3": third.commit}
    assert note(flow, second.commit) == [f"v2 Deploy {second.commit[:7]}, by alice"]


def test_commits_of_releases_are_kept_from_collection(flow: Flow) -> None:
    first = flow.deploy()
    unrelated = flow.commit(parent=flow.commit())
    git(flow, "update-ref", "refs/heads/main", unrelated)

    git(flow, "-c", "gc.pruneExpire=now", "gc", "--quiet", "--prune=now")

    assert git(flow, "cat-file", "-t", first.commit).strip() == "commit"


def test_commit_that_is_gone_keeps_no_other_from_being_written(flow: Flow) -> None:
    first = flow.deploy()
    Release.create(
        app=flow.app, number=2, commit="1" * 40, status="live", description="Deploy", config=first.config,
        artifact=first.artifact, by="alice",
    )  # fmt: skip

    third = flow.deploy()

    assert refs(flow) == {"v1": first.commit, "v3": third.commit}
    assert not list(flow.config.repository("hello").glob("fast_import_crash*"))


def test_only_the_newest_and_the_pinned_are_remembered(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_REMEMBERED", 2)
    monkeypatch.setattr(history, "_NOTED", 1)
    first = flow.deploy()
    Release.update(pinned=True).where(Release.number == 1).execute()
    for name in ("A", "B", "C"):
        deploy.set_config(flow.platform, flow.app, {name: "1"}, ALICE, flow.out)

    assert list(refs(flow)) == ["v1", "v3", "v4"]
    assert note(flow, first.commit) == ["(3 earlier)", "v4 Set C, by alice"]


def test_repository_that_cannot_be_written_fails_no_release(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()
    argv = ["git", f"--git-dir={flow.config.repository('hello')}", "update-ref", "--stdin"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdin.write(f"start\nverify {NOTES} {flow.ref(NOTES)}\nprepare\n")
        holder.stdin.flush()
        assert [holder.stdout.readline() for _ in range(2)] == ["start: ok\n", "prepare: ok\n"]

        assert deploy.set_config(flow.platform, flow.app, {"A": "1"}, ALICE, flow.out)
        assert list(refs(flow)) == ["v1"]

        holder.communicate("abort\n", timeout=60)
    assert deploy.set_config(flow.platform, flow.app, {"A": "2"}, ALICE, flow.out)
    assert list(refs(flow)) == ["v1", "v2", "v3"]
