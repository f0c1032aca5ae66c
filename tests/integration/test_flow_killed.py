"""A deploy killed at any step: reconcile mends it. Live and its branch moved, or not live and nothing left of it."""

from __future__ import annotations

import signal

import pytest
from flow import ALICE, MAIN, WEB, Flow
from instances import until

from gitpaas import deploy, events, releases
from gitpaas.builds import queue
from gitpaas.git import repository
from gitpaas.releases import retention
from gitpaas.store import Build, Release

RELEASE_AND_WEB = f"release: echo phase\n{WEB}"

# The step, and whether the new release is live when the process dies right before or right after it.
STEPS = [
    ("git.repository.hold", False, False),
    ("builds.building.build_artifact", False, False),
    ("releases.create", False, False),
    ("builds.phases.prepare", False, False),
    ("instances.rollout.roll_out", False, True),
    ("instances.starting.start", False, False),
    ("instances.starting.await_healthy", False, False),
    ("releases.make_live", False, True),
    ("instances.rolling.point", True, True),
    ("releases.history.record", True, True),
    ("builds.phases.follow_up", True, True),
    ("builds.queue.publish", True, True),
    ("git.repository.move", True, True),
    ("git.repository.let_go", True, True),
    ("builds.queue.finish", True, True),
]
MOMENTS = [(step, when, live) for step, *lives in STEPS for when, live in zip(("before", "after"), lives, strict=True)]

DIE = """
import importlib
import gitpaas.receive
module, _, name = {step!r}.rpartition(".")
module = importlib.import_module("gitpaas." + module)
real = getattr(module, name)
def dies(*given, **more):
    if {when!r} == "after":
        real(*given, **more)
    os.kill(os.getpid(), signal.{signal})
    time.sleep(5)
setattr(module, name, dies)
flow.push({commit!r})
"""

HELD = """#!/bin/sh
[ "$1" = prepared ] && grep -q " {ref}" || exit 0
rm "$0"
kill -9 $(sed -n "s/^PPid:[^0-9]*//p" /proc/$PPID/status) $PPID
"""


def pushed_and_killed(flow: Flow, commit: str, step: str, when: str) -> None:
    dying = flow.process(DIE.format(step=step, when=when, signal="SIGKILL", commit=commit))
    dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL


def dies_with_git(flow: Flow, ref: str) -> None:
    """The next git that is about to move such a ref is killed with its locks in its hands, and who has started it."""
    hook = flow.config.repository("hello") / "hooks" / "reference-transaction"
    hook.write_text(HELD.format(ref=ref))
    hook.chmod(0o755)


def lock_files(flow: Flow) -> list[str]:
    path = flow.config.repository("hello")
    return [str(lock.relative_to(path)) for lock in path.rglob("*.lock")]


def is_whole(flow: Flow) -> None:
    """What is intended, what runs, what is routed, the branch and the records all say the same; nothing is left."""
    live = flow.live
    flow.reconcile(lambda: flow.labels() == [f"web.1 v{live.number}"] and flow.routed_releases() == {live.number})
    assert flow.ref(MAIN) == live.commit
    assert flow.held() == ""
    assert not Build.select().where(Build.finished_at.is_null()).exists()
    assert not Release.select().where(Release.status == "pending").exists()
    until(lambda: not flow.reconciler._stopping)
    retention.prune(flow.platform, flow.app)  # once more: what has ended since keeps nothing any more
    kept = {releases.artifact(r).reference for r in Release.select().where(Release.status == "live")}
    assert {str(path) for path in flow.config.slugs("hello").iterdir()} == kept
    assert len(list((flow.config.locks / "builds").iterdir())) == 1


def is_recorded(flow: Flow) -> None:
    """Every release that went live is in the repository, and its commit's note tells of it."""
    path = flow.config.repository("hello")
    for release in Release.select().where(Release.status == "live"):
        assert flow.ref(f"refs/releases/v{release.number}") == release.commit
        assert f"v{release.number}  " in repository.git(path, "notes", "--ref=releases", "show", release.commit)


@pytest.mark.parametrize(("step", "when", "live"), MOMENTS)
def test_killed(flow: Flow, step: str, when: str, live: bool) -> None:
    flow.deploy(RELEASE_AND_WEB)
    fresh = flow.commit(RELEASE_AND_WEB)

    pushed_and_killed(flow, fresh, step, when)

    flow.reconcile(lambda: flow.last_build().finished_at)
    assert flow.last_build().status == ("live" if live else "failed"), flow.last_build().error
    assert (flow.live.commit == fresh) == live
    log = flow.config.build_log("hello", flow.last_build().id)
    assert live or "process that ran this build was killed" in log.read_text()
    is_whole(flow)
    assert flow.deploy().number > 1
    is_whole(flow)
    is_recorded(flow)
    deploys = [event.result for event in events.latest(9, events.Wanted("hello")) if event.action == "deploy"]
    assert deploys == ["ok", "ok" if live else "failed", "ok"]


@pytest.mark.parametrize("ref", ["refs/builds/", "refs/heads/main", "refs/notes/releases", "refs/releases/v"])
def test_killed_with_its_git_while_refs_are_half_written(flow: Flow, ref: str) -> None:
    """git leaves its lock files then, and refuses to write these refs as long as they are there."""
    flow.deploy()
    fresh = flow.commit()
    dies_with_git(flow, ref)
    dying = flow.process(f"flow.push({fresh!r})")
    dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL
    assert (locks_left := lock_files(flow)), "git was killed too late, or too early"
    assert any(name.startswith(ref) for name in locks_left)

    flow.reconcile(lambda: flow.last_build().finished_at)

    assert (flow.live.commit == fresh) is (ref != "refs/builds/")
    is_whole(flow)
    assert flow.deploy().number > 1
    is_whole(flow)
    is_recorded(flow)
    assert lock_files(flow) == []


def test_killed_without_a_server_the_next_push_finds_it_done(flow: Flow) -> None:
    flow.deploy()
    fresh = flow.commit()
    pushed_and_killed(flow, fresh, "builds.queue.publish", "before")
    assert flow.ref(MAIN) != fresh

    newer = flow.commit(parent=fresh)
    assert flow.push(newer) == 0

    assert flow.ref(MAIN) == newer
    assert [build.status for build in Build.select()] == ["live"] * 3
    is_whole(flow)


def test_killed_before_its_postdeploy_is_told(flow: Flow) -> None:
    fresh = flow.commit(app_json='{"scripts": {"postdeploy": "echo seeded"}}')

    pushed_and_killed(flow, fresh, "builds.phases.follow_up", "before")
    flow.reconcile(lambda: flow.last_build().finished_at)

    assert flow.last_build().status == "live"
    told = flow.config.build_log("hello", flow.last_build().id).read_text()
    assert "was killed. v1 is live, but its postdeploy may not have run." in told
    (event,) = (event for event in events.latest(9, events.Wanted("hello")) if event.action == "deploy")
    assert (event.result, "Its postdeploy may not have run." in event.text) == ("failed", True)


@pytest.mark.parametrize(
    ("step", "when"),
    [("releases.create", "after"), ("builds.phases.prepare", "before"), ("releases.make_live", "before")],
)
def test_killed_while_it_uses_a_build_again_it_leaves_that_to_the_release_that_had_it(
    flow: Flow, step: str, when: str
) -> None:
    first = flow.deploy(RELEASE_AND_WEB)
    flow.deploy(RELEASE_AND_WEB)

    pushed_and_killed(flow, first.commit, step, when)

    flow.reconcile(lambda: flow.last_build().finished_at)
    assert flow.last_build().status == "failed"
    is_whole(flow)
    assert flow.push(first.commit) == 0
    assert flow.live.artifact == first.artifact
    is_whole(flow)
    is_recorded(flow)


# Change and release appear together: who is killed before that has changed nothing.
@pytest.mark.parametrize(
    ("step", "left"),
    [("releases.copy", []), ("instances.starting.start", ["failed"]), ("instances.starting.await_healthy", ["failed"])],
)
def test_killed_change_of_config_is_no_release_for_ever_pending(flow: Flow, step: str, left: list[str]) -> None:
    flow.deploy()
    change = "gitpaas.deploy.set_config(flow.platform, flow.app, dict(A='1'), flows.ALICE, flow.out)"
    code = DIE.replace("flow.push({commit!r})", change)
    dying = flow.process(code.format(step=step, when="after", signal="SIGKILL"))
    dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL

    flow.reconcile(lambda: flow.labels() == ["web.1 v1"])
    assert flow.routed_releases() == {1}
    assert deploy.set_config(flow.platform, flow.app, {"B": "2"}, ALICE, flow.out)
    assert [r.status for r in Release.select().order_by(Release.number)] == ["live", *left, "live"]
    is_whole(flow)


def test_build_that_ends_while_it_is_looked_at_keeps_its_own_words(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    with queue.ticket(flow.platform, flow.app, flow.commit(), [], ALICE) as build:
        stale = Build.get_by_id(build.id)
        queue.finish(flow.platform, build, "failed", "pip exited with 1")
    monkeypatch.setattr(queue, "unfinished", lambda _: [stale])
    queue.bury_dead(flow.platform, flow.app)
    assert Build.get_by_id(build.id).error == "pip exited with 1"


def test_locks_of_builds_that_ended_go_with_the_next(flow: Flow) -> None:
    for _ in range(3):
        flow.deploy()
    assert not queue.is_alive(flow.platform, Build.get_by_id(1))
    assert [path.name for path in (flow.config.locks / "builds").iterdir()] == ["3"]


def test_only_the_last_hundred_builds_are_remembered(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.releases.retention._BUILDS", 2)
    for _ in range(4):
        flow.deploy()
    builds = [build.id for build in Build.select().order_by(Build.id)]
    assert builds == [2, 3, 4]
    assert sorted(p.name for p in flow.config.build_log("hello", 1).parent.iterdir()) == ["2.log", "3.log", "4.log"]
    assert deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out).number == 5


@pytest.mark.parametrize(
    ("step", "when"),
    [
        ("builds.building.build_artifact", "before"),
        ("instances.starting.await_healthy", "before"),
        ("builds.queue.publish", "after"),
    ],
)
def test_terminated(flow: Flow, step: str, when: str) -> None:
    first = flow.deploy()
    fresh = flow.commit()
    heeding = "from gitpaas.commands.receive import heed\nheed()\n"
    told = DIE.replace("flow.push({commit!r})", "print(flow.push({commit!r}), flow.lines.text)")
    ended = flow.process((heeding + told).format(step=step, when=when, signal="SIGTERM", commit=fresh))
    said, _ = ended.communicate(timeout=100)

    if when == "after":
        assert said.startswith("0 ")
        assert flow.live.commit == fresh
    else:
        assert said.startswith("1 ")
        assert "SIGTERM" in said
        assert "v1 keeps serving" in said
        assert flow.labels() == ["web.1 v1"]
        assert (flow.last_build().status, flow.live.id) == ("failed", first.id)
    is_whole(flow)
