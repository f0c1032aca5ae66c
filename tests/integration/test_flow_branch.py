"""The deploy branch as git:set has it, while pushes and rebuilds are under way."""

from __future__ import annotations

from dataclasses import replace

from flow import ALICE, MAIN, Flow

from gitpaas import apps, deploy, receive
from gitpaas.git import repository


def test_rebuild_while_no_branch_is_chosen_builds_and_chooses_none(flow: Flow) -> None:
    first = flow.deploy()
    apps.choose_deploy_branch(flow.platform, flow.app, None)

    assert receive.rebuild(flow.platform, flow.app, ALICE, flow.out) == 0, flow.lines.text

    assert (flow.live.number, flow.live.commit) == (2, first.commit)
    assert flow.app.deploy_branch is None


def test_push_that_came_before_another_branch_was_chosen_is_deployed(flow: Flow) -> None:
    """Its branch has not moved yet: who only stored it would lose it, and say that all went well."""
    flow.deploy()
    commit = flow.commit()
    push = replace(flow.pushed(commit), deploys=MAIN)
    apps.choose_deploy_branch(flow.platform, flow.app, "live")

    assert receive.receive(flow.platform, push, flow.lines) == 0, flow.lines.text

    assert flow.live.commit == commit
    assert flow.ref(MAIN) == commit


def test_branch_that_waits_is_built_and_one_that_is_gone_is_not_missed(flow: Flow) -> None:
    first, waiting = flow.deploy(), flow.commit()
    path = flow.config.repository("hello")
    repository.set_refs(path, {"refs/heads/live": waiting})
    apps.choose_deploy_branch(flow.platform, flow.app, "live")
    assert "live is at" in (deploy.live_notice(flow.platform, "hello") or "")

    assert receive.rebuild(flow.platform, flow.app, ALICE, flow.out) == 0, flow.lines.text

    assert (flow.live.number, flow.live.commit) == (2, waiting)
    assert flow.ref(MAIN) == first.commit
    repository.set_refs(path, {"refs/heads/live": None})
    assert "v2" in (deploy.live_notice(flow.platform, "hello") or "")
    assert receive.rebuild(flow.platform, flow.app, ALICE, flow.out) == 0, flow.lines.text
    assert (flow.live.number, flow.live.commit) == (3, waiting)


def test_what_is_to_be_typed_is_typed_as_it_is(flow: Flow) -> None:
    """git takes more in the name of a branch than a shell does."""
    assert "(git push paas topic:main)" in apps.stored_message(flow.app, ["refs/heads/topic"])
    assert "(git push paas 'x;reboot:main')" in apps.stored_message(flow.app, ["refs/heads/x;reboot"])
