"""Pushes as git's own receive-pack takes them, with the real git client."""

from __future__ import annotations

import pytest

from gitpaas.git import repository
from tests.integration.conftest import eventually, run

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh")]


def test_the_first_push_makes_the_app_runs_the_hook_and_streams_its_lines(door, work):
    done = work.push("main").ok()

    assert door.apps.made == [("hello", "laptop")]
    assert "remote: -----> Building" in done.err
    assert "remote: =====> deployed" in done.err
    assert "[new branch]      main -> main" in done.err
    assert door.ref("refs/heads/main") == work.head()
    assert door.hook_lines() == [f"{'0' * 40} {work.head()} refs/heads/main"]
    door.fsck()


def test_the_hook_sees_who_pushes_and_gits_variables(door, work):
    work.push("-o", "fast", "-o", "why=because of this", "main").ok()

    env = door.hook_env()
    assert env["GIT_DIR"] == str(door.repository())
    assert env["GITPAAS_HOME"] == str(door.config.home)
    told = ("APP", "DEPLOYS", "DEFERRED", "ACTOR", "KEY", "ROLE", "ADDRESS")
    assert {name: env[f"GITPAAS_{name}"] for name in told} == {
        "APP": "hello",
        "DEPLOYS": "refs/heads/main",
        "DEFERRED": "1",
        "ACTOR": "laptop",
        "KEY": "laptop",
        "ROLE": "admin",
        "ADDRESS": "127.0.0.1",
    }
    assert env["GIT_PUSH_OPTION_COUNT"] == "2"
    assert env["GIT_PUSH_OPTION_0"] == "fast"
    assert env["GIT_PUSH_OPTION_1"] == "why=because of this"
    assert "GITPAAS_ATOMIC" not in env
    assert "SSH_AUTH_SOCK" not in env


def test_a_failing_hook_rejects_the_branch_and_the_same_commit_can_be_pushed_again(door, work):
    door.apps.hook = "echo ' !     Build failed'; exit 1"
    done = work.push("main").failed(1)
    assert "! [remote rejected] main -> main (build failed)" in done.err
    assert door.ref("refs/heads/main") is None

    door.hook_lines()
    work.push("main").failed(1)

    assert door.hook_lines() == [f"{'0' * 40} {work.head()} refs/heads/main"]


@pytest.mark.parametrize(
    ("code", "reason"), [(10, "superseded by a newer push"), (11, "fetch first"), (99, "build failed")]
)
def test_the_hooks_exit_status_becomes_gits_reason(door, work, code, reason):
    door.apps.hook = f"exit {code}"

    assert f"({reason})" in work.push("main").failed(1).err


def test_a_second_push_of_one_commit_on_top(door, work):
    work.push("main").ok()
    first = work.head()
    work.commit("two")
    door.hook_lines()

    work.push("main").ok()

    assert door.hook_lines() == [f"{first} {work.head()} refs/heads/main"]
    assert door.ref("refs/heads/main") == work.head()
    door.fsck()


def test_an_old_history_needs_force_and_force_is_enough(door, work):
    work.push("main").ok()
    work.git("commit", "-q", "--amend", "-m", "other").ok()

    assert "non-fast-forward" in work.push("main").failed(1).err
    work.push("--force", "main").ok()

    assert door.ref("refs/heads/main") == work.head()


def test_another_branch_is_stored_said_so_and_runs_no_hook(door, work):
    done = work.push("main:feature").ok()

    assert "remote: -----> feature stored; only main is deployed" in done.err
    assert door.ref("refs/heads/feature") == work.head()
    assert door.hook_lines() == []


def test_other_refs_of_a_push_move_even_if_the_build_fails(door, work):
    door.apps.hook = "exit 1"

    done = work.push("main", "main:feature").failed(1)

    assert "main -> main (build failed)" in done.err
    assert "main -> feature" in done.err
    assert door.ref("refs/heads/main") is None
    assert door.ref("refs/heads/feature") == work.head()
    assert len(door.hook_lines()) == 2


def test_an_atomic_push_with_the_deploy_branch_leaves_all_refs_to_the_deploy(door, work):
    door.apps.hook = "exit 1"

    done = work.push("--atomic", "main", "main:feature").failed(1)

    assert door.hook_env()["GITPAAS_ATOMIC"] == "1"
    assert len(door.hook_lines()) == 2
    assert "main -> feature (build failed)" in done.err
    assert door.ref("refs/heads/feature") is None


def test_an_atomic_push_of_other_refs_moves_all_or_none(door, work):
    work.push("--atomic", "main:a", "main:b").ok()
    assert door.ref("refs/heads/b") == work.head()
    work.commit("two")

    done = work.push("--atomic", "main:a", "main:refs/builds/1").failed(1)

    assert "main -> a (atomic push failure)" in done.err
    assert "hidden ref" in done.err
    assert door.ref("refs/heads/a") == work.head("HEAD~1")


def test_delete(door, work):
    work.push("main", "main:feature").ok()
    door.hook_lines()

    work.push("--delete", "feature").ok()

    assert door.ref("refs/heads/feature") is None
    assert door.hook_lines() == []


def test_what_deploys_is_decided_once_whatever_git_set_says_meanwhile(door, work, monkeypatch):
    answers = ["refs/heads/main"]  # and none from then on
    monkeypatch.setattr(door.apps, "deploy_ref", lambda _, refs: answers.pop() if refs and answers else None)

    work.push("main").ok()

    assert door.hook_lines() == [f"{'0' * 40} {work.head()} refs/heads/main"]
    assert door.hook_env()["GITPAAS_DEPLOYS"] == "refs/heads/main"
    assert door.ref("refs/heads/main") == work.head()


def test_the_deploy_branch_cannot_be_deleted(door, work):
    work.push("main").ok()

    done = work.push("--delete", "main").failed(1)

    assert "deletion of the deploy branch prohibited" in done.err
    assert door.ref("refs/heads/main") == work.head()


def test_tags_light_annotated_and_of_tags(door, work):
    work.git("tag", "light").ok()
    work.git("tag", "-a", "-m", "annotated", "heavy").ok()
    work.git("tag", "-a", "-m", "a tag of a tag", "heavier", "heavy").ok()

    work.push("--tags").ok()

    assert {name: door.ref(f"refs/tags/{name}") for name in ("light", "heavy", "heavier")} == {
        name: work.head(f"refs/tags/{name}") for name in ("light", "heavy", "heavier")
    }
    door.fsck()


def test_notes(door, work):
    work.push("main").ok()
    work.git("notes", "add", "-m", "remember").ok()

    work.push("refs/notes/*").ok()

    assert door.ref("refs/notes/commits") == work.head("refs/notes/commits")


def test_mirror_brings_every_ref_and_removes_what_is_gone(door, work):
    work.push("main", "main:old").ok()
    work.git("branch", "new").ok()
    work.git("update-ref", "refs/custom/thing", "HEAD").ok()

    work.git("push", "--mirror", door.url()).ok()

    assert door.ref("refs/heads/old") is None
    assert door.ref("refs/heads/new") == work.head()
    assert door.ref("refs/custom/thing") == work.head()


def test_a_push_with_nothing_to_push_says_what_is_live(door, work):
    work.push("main").ok()
    door.hook_lines()
    door.apps.notice = "hello v12 (a1b2c3d) is live at http://hello.localhost:8080\nTo build it again: ..."

    done = work.push("main").ok()

    assert "Everything up-to-date" in done.err
    assert door.apps.notice in done.err
    assert door.hook_lines() == []


def test_a_dry_run_makes_nothing(door, work):
    done = work.push("--dry-run", "main").ok()

    assert "[new branch]" in done.err
    assert door.apps.made == []
    assert not door.repository().exists()


def test_ls_remote_of_a_name_that_is_no_app_makes_nothing(door, work):
    done = work.git("ls-remote", "paas").failed()

    assert "There is no app 'hello' to fetch from" in done.err
    assert not door.repository().exists()


def test_porcelain_and_quiet(door, work):
    done = work.push("--porcelain", "main").ok()
    assert "*\trefs/heads/main:refs/heads/main\t[new branch]" in done.out
    work.commit("two")

    door.apps.hook = "git update-ref refs/heads/main $(tail -n 1 {record}/lines | cut -d' ' -f2)"
    assert "Writing objects" not in work.push("--quiet", "main").ok().err


def test_signed_if_asked_is_harmless(door, work):
    work.push("--signed=if-asked", "main").ok()

    assert door.ref("refs/heads/main") == work.head()


def test_a_thin_pack_is_completed(door, work):
    work.commit("\n".join(f"line {number}" for number in range(5000)), "big.txt")
    work.push("main").ok()
    work.commit("\n".join(f"line {number}" for number in range(5001)), "big.txt")

    work.push("--thin", "main").ok()

    door.fsck()


def test_a_push_that_needs_no_new_objects(door, work):
    work.push("main").ok()
    packs = sorted(door.repository().glob("objects/pack/*"))

    work.push("main:again").ok()

    assert door.ref("refs/heads/again") == work.head()
    assert sorted(door.repository().glob("objects/pack/*")) == packs


def test_a_commit_held_for_a_failed_build_is_not_sent_twice(door, work):
    door.apps.hook = 'git update-ref refs/builds/7 "$(tail -n 1 {record}/lines | cut -d" " -f2)"; exit 1'
    work.push("main").failed(1)

    done = work.push("--progress", "main").failed(1)

    assert "Total 0" in done.err


def test_many_small_packs_are_packed_anew(door, work):
    work.push("main:first").ok()
    store = door.repository() / "objects" / "pack"
    for number in range(55):
        blob = run(["git", f"--git-dir={door.repository()}", "hash-object", "-w", "--stdin"], stdin=f"{number}").out
        argv = ["git", f"--git-dir={door.repository()}", "pack-objects", "-q", str(store / "pack")]
        run(argv, stdin=blob).ok()
        repository.git(door.repository(), "update-ref", f"refs/tags/t{number}", blob.strip())
    assert len(list(store.glob("*.pack"))) > 50

    work.commit("two")
    work.push("main:second").ok()

    eventually(lambda: len(list(store.glob("*.pack"))) <= 2)
    eventually(lambda: not (door.repository() / "gc.pid").exists())
    door.fsck()


def test_hidden_refs_are_shown_to_nobody(door, work):
    work.push("main:feature").ok()
    repository.hold(door.repository(), 12, work.head())

    assert "refs/builds" not in work.git("ls-remote", "paas").ok().out
    assert "refs/builds" not in work.push("--mirror", "--dry-run").ok().err


def test_releases_are_shown_to_who_fetches_and_not_to_who_pushes(door, work):
    work.push("main:feature").ok()
    for ref in ("refs/releases/v1", "refs/notes/releases", "refs/notes/commits"):
        repository.git(door.repository(), "update-ref", ref, work.head())

    shown = work.git("ls-remote", "paas").ok().out
    pushed = work.push("--mirror").ok().err  # which removes what it sees and does not have

    assert "refs/releases/v1" in shown
    assert "refs/notes/releases" in shown
    assert "refs/notes/commits" in pushed
    assert "releases" not in pushed
    assert door.ref("refs/releases/v1") == door.ref("refs/notes/releases") == work.head()


def test_commits_of_releases_need_not_be_sent_again(door, work):
    """What a push has overwritten is still here: a force push of it sends no objects."""
    work.push("main:feature").ok()
    older = work.commit("much")
    work.push("main:feature").ok()
    repository.git(door.repository(), "update-ref", "refs/releases/v1", older)
    work.git("reset", "-q", "--hard", "HEAD~1").ok()
    work.push("--force", "main:feature").ok()

    sent = work.push("--progress", f"+{older}:refs/heads/feature").ok().err

    assert "Total 0 (delta 0)" in sent


def test_push_from_a_shallow_clone_and_then_from_a_deeper_one(door, work):
    for number in range(5):
        work.commit(f"number {number}")
    run_clone(work, "shallow", "--depth", "2")
    shallow = door.clone_of("shallow")

    shallow.push("main").ok()
    assert (door.repository() / "shallow").read_text().split() == [work.head("HEAD~1")]
    door.fsck()
    shallow.git("fetch", "-q", "--deepen", "2", "origin").ok()
    shallow.commit("after deepening")
    shallow.push("main").ok()

    door.fsck()
    assert door.ref("refs/heads/main") == shallow.head()
    assert door.leftovers() == []


def test_push_of_the_whole_history_over_a_shallow_one(door, work):
    for number in range(5):
        work.commit(f"number {number}")
    run_clone(work, "shallow", "--depth", "1")
    door.clone_of("shallow").push("main").ok()
    work.commit("more")

    work.push("main").ok()

    door.fsck()
    assert door.ref("refs/heads/main") == work.head()


def run_clone(work, name, *options):
    work.git("clone", "-q", *options, f"file://{work.path}", str(work.path.parent / name)).ok()


def test_a_sha256_repository_is_made_by_the_first_push_of_one(door):
    work = door.clone("sha256", "--object-format=sha256")
    head = work.commit()

    assert "push again, the server now expects them" in work.push("main").failed().err
    work.push("main").ok()

    assert len(head) == 64
    assert door.ref("refs/heads/main") == head
    door.fsck()
    work.commit("two")
    work.push("main", "main:other").ok()
    assert door.ref("refs/heads/other") == work.head()


def test_an_ordinary_push_after_a_sha256_client_gave_up(door, work):
    door.server._services.new_apps.expect_sha256("hello")

    work.push("main").ok()

    assert door.ref("refs/heads/main") == work.head()


def test_a_push_of_the_other_hash_is_refused_in_words(door, work):
    work.push("main").ok()
    other = door.clone("sha256", "--object-format=sha256")
    other.commit()

    other.push("main").failed()

    assert door.ref("refs/heads/main") == work.head()


def test_ten_thousand_refs(door, work):
    head = work.head()
    many = "".join(f"create refs/tags/t{number} {head}\n" for number in range(10_000))
    work.git("update-ref", "--stdin", stdin=many).ok()

    work.push("--tags", timeout=250).ok()

    count = len(work.git("ls-remote", "--tags", "paas").ok().out.splitlines())
    assert count == 10_000
    work.push("main").ok()


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_fetch_and_clone_with_each_protocol_version(door, work, version):
    work.push("main").ok()

    work.git("-c", f"protocol.version={version}", "clone", "-q", door.url(), "back").ok()

    assert (work.path / "back" / "file.txt").read_text() == "one"


def test_shallow_and_partial_clones(door, work):
    for number in range(4):
        work.commit(f"number {number}")
    work.push("main").ok()

    work.git("clone", "-q", "--depth", "1", door.url(), "shallow").ok()
    work.git("clone", "-q", "--filter=blob:none", "--no-checkout", door.url(), "partial").ok()

    assert work.git("-C", "shallow", "rev-list", "--count", "HEAD").ok().out == "1\n"
    missing = work.git("-C", "partial", "rev-list", "--objects", "--missing=print", "HEAD").ok().out
    assert sum(line.startswith("?") for line in missing.splitlines()) > 0


def test_archive_over_ssh(door, work):
    work.push("main").ok()

    done = work.git("archive", "--format=tar", f"--remote={door.url()}", "main", "file.txt").ok()

    assert "file.txt" in done.out


def test_a_push_that_is_not_a_fast_forward_of_what_came_meanwhile_is_told_to_fetch(door, work):
    work.push("main:feature").ok()
    other = door.clone("other")
    other.git("fetch", "-q", "paas").ok()
    other.git("reset", "-q", "--hard", "paas/feature").ok()
    other.commit("theirs", "theirs.txt")
    hooks = other.path / ".git" / "hooks" / "pre-push"
    hooks.write_text(
        f"#!/bin/sh\ngit --git-dir={door.repository()} update-ref refs/heads/feature {work.commit('mine')}\n"
    )
    hooks.chmod(0o755)
    work.push("main:keep").ok()

    done = other.push("HEAD:feature").failed(1)

    assert "(fetch first)" in done.err
    assert door.ref("refs/heads/feature") == work.head()
