"""Rollbacks to what is not kept any more: built again from the recorded commit, with the config vars of then."""

from __future__ import annotations

import signal

import pytest
from flow import ALICE, MAIN, WEB, Flow

from gitpaas import deploy, receive, releases, shell
from gitpaas.builds import phases, queue
from gitpaas.errors import NotFound, NotKept, Superseded
from gitpaas.git.repository import Move
from gitpaas.receive import Push
from gitpaas.store import Build, Release

KILLED = """
import gitpaas.receive, gitpaas.instances.rollout
from gitpaas.receive import Push
from gitpaas.git.repository import Move
gitpaas.instances.rollout.roll_out = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
move = Move(flows.MAIN, {commit!r}, {commit!r})
gitpaas.receive.receive(flow.platform, Push("hello", (move,), flows.ALICE, restores=2), flow.lines)
"""


def two_releases(flow: Flow) -> Release:
    """v2 with A=1, v4 with A=2 and other code; what v2 ran is gone."""
    flow.deploy()
    deploy.set_config(flow.platform, flow.app, {"A": "1"}, ALICE, flow.out)
    deploy.set_config(flow.platform, flow.app, {"A": "2"}, ALICE, flow.out)
    flow.deploy()
    shell.remove(flow.config.slug("hello", 1))
    return flow.release(2)


def roll_back(flow: Flow, number: int) -> int:
    with pytest.raises(NotKept) as caught:
        deploy.rollback(flow.platform, flow.app, number, ALICE, flow.out)
    return receive.rebuild(flow.platform, flow.app, ALICE, flow.out, restores=caught.value.release)


def again(flow: Flow, release: Release) -> Push:
    """As the hook of such a rollback gets it."""
    return Push("hello", (Move(MAIN, release.commit, release.commit),), ALICE, restores=release.number)


def test_it_is_built_again_with_the_config_vars_of_then(flow: Flow) -> None:
    older = two_releases(flow)
    main = flow.ref(MAIN)

    assert roll_back(flow, 2) == 0, flow.lines.text

    live = flow.live
    assert (live.number, live.description, live.commit) == (5, "Rollback to v2", older.commit)
    assert (live.restores, live.by, live.key) == (2, ALICE.name, ALICE.key)
    assert flow.variables(live) == {"A": "1"}
    assert releases.is_kept(flow.platform, live)
    assert flow.routed_releases() == {5}
    assert flow.ref(MAIN) == main
    assert f"v2 ({older.commit[:7]}) is built again for a rollback, by alice" in flow.lines.text
    # and today's config vars are those of then, as after any rollback
    assert flow.deploy().number == 6
    assert flow.variables(flow.live) == {"A": "1"}


def test_its_release_phase_is_not_run_again(flow: Flow) -> None:
    deploy.set_config(flow.platform, flow.app, {"CODE": "0"}, ALICE, flow.out)
    flow.deploy(f"release: exit $CODE\n{WEB}")
    deploy.set_config(flow.platform, flow.app, {"CODE": "9"}, ALICE, flow.out)
    flow.deploy()
    shell.remove(flow.config.slug("hello", 1))

    assert roll_back(flow, 2) == 0, flow.lines.text

    assert flow.variables(flow.live) == {"CODE": "9"}


def test_what_another_release_was_made_of_serves(flow: Flow) -> None:
    first = flow.deploy()
    flow.deploy()
    assert flow.push(first.commit, again=True) == 0
    assert flow.live.artifact != first.artifact
    flow.deploy()
    shell.remove(flow.config.slug("hello", 1))

    assert roll_back(flow, 1) == 0, flow.lines.text

    assert flow.live.artifact == flow.release(3).artifact
    assert "Using the build of v3" in flow.lines.text


def test_change_of_config_that_overtakes_it_does_not_get_into_it(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    older = two_releases(flow)
    monkeypatch.setattr(
        phases, "prepare", lambda *_: deploy.set_config(flow.platform, flow.app, {"A": "3"}, ALICE, flow.out)
    )

    assert receive.receive(flow.platform, again(flow, older), flow.lines) == 0

    assert [release.number for release in Release.select().where(Release.id >= 5).order_by(Release.id)] == [7, 6]
    assert flow.variables(flow.live) == {"A": "1"}
    assert flow.variables(flow.release(6)) == {"A": "3"}


def test_change_that_waits_for_the_next_release_goes_on_waiting(flow: Flow) -> None:
    two_releases(flow)
    deploy.set_config(flow.platform, flow.app, {"A": "4", "LATER": "4"}, ALICE, flow.out, restart=False)

    assert roll_back(flow, 2) == 0, flow.lines.text

    assert flow.variables(flow.live) == {"A": "1"}
    assert flow.variables() == {"A": "4", "LATER": "4"}
    assert "Not live yet, for the next release: A, LATER (ssh paas config hello)\n" in flow.lines.text


def test_commit_that_is_gone_is_told(flow: Flow) -> None:
    flow.deploy()
    flow.deploy()
    shell.remove(flow.config.slug("hello", 1))
    Release.update(commit="1" * 40).where(Release.number == 1).execute()

    with pytest.raises(NotFound, match="The commit of v1 is not here any more: 111111111111"):
        roll_back(flow, 1)


def test_build_of_the_same_commit_that_is_no_rollback_is_not_followed(flow: Flow) -> None:
    older = two_releases(flow)
    with queue.ticket(flow.platform, flow.app, older.commit, [], ALICE) as other:
        queue.finish(flow.platform, other, "failed")
        Build.update(finished_at=None).where(Build.id == other.id).execute()
        assert receive._same(flow.platform, flow.app, older.commit, None) == other
        assert receive._same(flow.platform, flow.app, older.commit, 2) is None


def test_waiting_rollback_keeps_its_place_when_a_push_comes(flow: Flow) -> None:
    older = two_releases(flow)
    with (
        queue.ticket(flow.platform, flow.app, older.commit, [], ALICE, restores=2) as waiting,
        queue.ticket(flow.platform, flow.app, older.commit, [], ALICE),
    ):
        queue._give_way(flow.platform, waiting)  # raises when another takes its place
        with (
            queue.ticket(flow.platform, flow.app, older.commit, [], ALICE, restores=2),
            pytest.raises(Superseded),
        ):
            queue._give_way(flow.platform, waiting)


def test_killed_in_the_middle_it_is_failed_and_what_serves_is_untouched(flow: Flow) -> None:
    older = two_releases(flow)
    dying = flow.process(KILLED.format(commit=older.commit))
    dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL

    flow.reconcile(lambda: flow.last_build().finished_at)

    assert (flow.last_build().status, flow.live.number) == ("failed", 4)
    assert flow.variables() == {"A": "2"}
    assert roll_back(flow, 2) == 0, flow.lines.text
