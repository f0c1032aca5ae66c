"""Changes of what runs, at the same time as each other and as people's commands. Nothing is lost, nothing goes back."""

from __future__ import annotations

from dataclasses import replace

import flow as flows
import pytest
from flow import ALICE, MAIN, WEB, WORKER, Flow, Lines, meanwhile
from gates import gate
from instances import until

from gitpaas import apps, deploy, health, releases
from gitpaas.config import Config
from gitpaas.errors import BuildFailed, Conflict, NotFound, RouterFailed, Unhealthy, UsageError
from gitpaas.router.caddy import CaddyRouter
from gitpaas.store import App, Release

SLOW = "import time; time.sleep(1.5)"  # before it listens


def starting(flow: Flow, label: str) -> bool:
    return label in flow.labels()


def test_first_push_goes_live(flow: Flow) -> None:
    release = flow.deploy()
    assert (release.number, flow.last_build().status, flow.held()) == (1, "live", "")
    assert flow.ref(MAIN) == release.commit
    assert flow.labels() == ["web.1 v1"]
    assert flow.routed_releases() == {1}


def test_failed_first_push_and_a_fixed_one(flow: Flow) -> None:
    assert flow.push(flow.commit(first_py="raise SystemExit(3)")) == 1
    assert " !     Start failed: web.1 exited with 3 before it answered. " in flow.lines.text
    assert "Nothing is live yet" in flow.lines.text
    assert (flow.labels(), flow.ref(MAIN), flow.held(), flow.route) == ([], None, "", "empty")
    assert not list(flow.config.slugs("hello").iterdir())
    assert flow.deploy().number == 2


def test_config_set_during_a_deploy_does_not_bring_the_old_code_back(flow: Flow) -> None:
    flow.deploy()
    fresh = flow.commit(first_py=SLOW)
    with meanwhile(flow, lambda f: f.push(fresh)):
        until(lambda: starting(flow, "web.1 v2"))
        deploy.set_config(flow.platform, flow.app, {"TEXT": "new"}, ALICE, flow.out)
    assert (flow.live.number, flow.live.commit) == (3, fresh)
    assert flow.ref(MAIN) == fresh
    assert {i.release for i in flow.running() if i.address in flow.route} == {3}


def test_deploy_that_was_overtaken_by_config_set_has_the_new_config(flow: Flow) -> None:
    flow.deploy()
    with gate() as held:
        slow = flow.commit(procfile=f"release: {held.command}\n{WEB}")
        with meanwhile(flow, lambda f: f.push(slow)):
            until(lambda: "Release phase" in flow.lines.text)
            deploy.set_config(flow.platform, flow.app, {"TEXT": "new"}, ALICE, flow.out)
            held.open()
    assert flow.live.commit == slow
    assert [r.number for r in Release.select().where(Release.status == "live").order_by(Release.id)] == [1, 4, 3]
    assert releases.spec(flow.platform, flow.app, flow.live, "web", 1).env["TEXT"].reveal() == "new"


def test_rollback_keeps_its_own_config_though_a_deploy_is_under_way(flow: Flow) -> None:
    flow.deploy()
    deploy.set_config(flow.platform, flow.app, {"TEXT": "new"}, ALICE, flow.out)
    with gate() as held:
        slow = flow.commit(procfile=f"release: {held.command}\n{WEB}")
        with meanwhile(flow, lambda f: f.push(slow)):
            until(lambda: "Release phase" in flow.lines.text)
            back = deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out)
            assert "TEXT" not in releases.spec(flow.platform, flow.app, back, "web", 1).env
            held.open()
    assert flow.live.commit == slow


def test_rollback_takes_the_config_vars_back_too(flow: Flow) -> None:
    deploy.set_config(flow.platform, flow.app, {"TEXT": "old"}, ALICE, flow.out)
    flow.deploy()
    deploy.set_config(flow.platform, flow.app, {"TEXT": "new", "MORE": "1"}, ALICE, flow.out)
    deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out)
    assert flow.variables() == {"TEXT": "old"}
    flow.deploy(first_py="# changed")
    assert "MORE" not in releases.spec(flow.platform, flow.app, flow.live, "web", 1).env


def test_restart_during_a_deploy_leaves_the_new_release_in_the_route(flow: Flow) -> None:
    flow.deploy()
    fresh = flow.commit(first_py=SLOW)
    with meanwhile(flow, lambda f: f.push(fresh)):
        until(lambda: starting(flow, "web.1 v2"))
        deploy.restart(flow.platform, flow.app, flow.out)
    assert flow.routed_releases() == {2}


def test_app_stopped_during_a_build_is_not_started_by_it(flow: Flow) -> None:
    flow.deploy()
    with gate() as held:
        slow = flow.commit(procfile=f"release: {held.command}\n{WEB}")
        with meanwhile(flow, lambda f: f.push(slow)):
            until(lambda: "Release phase" in flow.lines.text)
            deploy.stop(flow.platform, flow.app, flow.out)
            held.open()
    assert (flow.live.commit, flow.route) == (slow, "stopped")
    assert not starting(flow, "web.1 v2")
    deploy.start(flow.platform, flow.app, flow.out)
    assert flow.routed_releases() == {2}


def test_crash_of_what_serves_is_mended_while_a_new_release_starts(flow: Flow) -> None:
    flow.deploy()
    (serving,) = flow.running()
    with gate() as held, meanwhile(flow, lambda f: f.push(f.commit(first_py=held.code))):
        until(lambda: starting(flow, "web.1 v2"))
        flow.crash(serving)
        flow.reconcile(lambda: flow.routed_releases() == {1})
        assert starting(flow, "web.1 v2")
        held.open()


def test_two_config_sets_at_once_both_count(flow: Flow) -> None:
    flow.deploy()
    with meanwhile(flow, lambda f: deploy.set_config(f.platform, f.app, {"A": "1"}, ALICE, f.out)):
        deploy.set_config(flow.platform, flow.app, {"B": "2"}, ALICE, flow.out)
    assert flow.live.number == 3
    assert {"A", "B"} <= releases.spec(flow.platform, flow.app, flow.live, "web", 1).env.keys()


def test_waiting_for_several_instances_takes_no_longer_than_for_one(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.deploy()
    deploy.scale(flow.platform, flow.app, {"web": 3}, flow.out)
    wait, since = health.wait_until_healthy, list[float]()

    def noted(*asked: object, began: float, **more: object) -> object:
        since.append(began)
        return wait(*asked, began=began, **more)

    monkeypatch.setattr(health, "wait_until_healthy", noted)
    flow.deploy()
    assert len(since) == 3
    assert len(set(since)) == 1, "their time runs from the same moment"


def test_one_that_never_answers_leaves_what_was(config: Config) -> None:
    with flows.fresh(config) as flow:
        flow.deploy()
        impatient = replace(flow.platform.config, start_timeout=2)
        flow.platform = replace(flow.platform, config=impatient)
        assert flow.push(flow.commit(first_py="import time; time.sleep(600)")) == 1
        assert flow.routed_releases() == {1}
        assert "v1 keeps serving" in flow.lines.text


def test_one_that_takes_long_is_told_of(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_QUIET", 0.0)
    with gate() as held:
        slow = flow.commit(first_py=held.code)
        with meanwhile(flow, lambda f: f.push(slow)):
            until(lambda: "-----> Waiting for web.1: connection refused on 127.0.0.1:" in flow.lines.text)
            held.open()
    assert flow.live.commit == slow
    assert flow.lines.text.count("Waiting for web.1") == 1


def test_second_of_two_that_dies_ends_the_wait_for_the_first(flow: Flow) -> None:
    flow.deploy()
    deploy.scale(flow.platform, flow.app, {"web": 2}, flow.out)
    dies = """
        import os, time
        if os.environ["GITPAAS_PROCESS"] == "web.2": raise SystemExit(4)
        time.sleep(600)
        """
    assert flow.push(flow.commit(first_py=dies)) == 1
    assert "web.2 exited with 4" in flow.lines.text
    assert flow.labels() == ["web.1 v1", "web.2 v1"]


def test_start_that_fails_half_way_leaves_nothing(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()
    start, started = flow.platform.runtime.start, []

    def refuse(spec: object) -> object:
        if started:
            raise BuildFailed("no more")
        started.append(start(spec))
        return started[0]

    monkeypatch.setattr(flow.platform.runtime, "start", refuse)
    with pytest.raises(BuildFailed):
        deploy.scale(flow.platform, flow.app, {"web": 3}, flow.out)
    assert flow.labels() == ["web.1 v1"]


def test_route_that_cannot_be_written_is_made_up_for(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    first = flow.deploy()
    with monkeypatch.context() as full:
        full.setattr(CaddyRouter, "point", lambda *_: (_ for _ in ()).throw(RouterFailed("No room.")))
        assert flow.push(flow.commit()) == 0
        flow.reconciler._retire = lambda _: pytest.fail("what serves was retired")  # type: ignore[method-assign]
        flow.reconcile()
        assert flow.routed_releases() == {1}
        del flow.reconciler._retire
    assert flow.live.number == 2
    assert flow.ref(MAIN) != first.commit
    flow.reconcile(lambda: flow.labels() == ["web.1 v2"])
    assert flow.routed_releases() == {2}


def test_fault_after_going_live_does_not_undo_it(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()
    fresh = flow.commit()
    with monkeypatch.context() as broken:
        broken.setattr("gitpaas.releases.retention.prune", lambda *_: 1 / 0)
        assert flow.push(fresh) == 0
    assert (flow.last_build().status, flow.live.commit, flow.ref(MAIN)) == ("live", fresh, fresh)
    assert releases.is_kept(flow.platform, flow.live)
    assert "It is live" in flow.lines.text


def test_more_web_instances_than_can_be_balanced_are_refused_before_anything_changes(flow: Flow) -> None:
    flow.deploy()
    with pytest.raises(UsageError, match="At most 12"):
        deploy.scale(flow.platform, flow.app, {"web": 13}, flow.out)
    assert flow.labels() == ["web.1 v1"]


def test_first_formation_is_that_of_app_json_and_later_ones_are_peoples(flow: Flow) -> None:
    asked = '{"formation": {"web": {"quantity": 2}, "worker": {"quantity": 1}, "clock": {"quantity": 1}}}'
    flow.deploy(WEB + WORKER + "other: sleep 600\n", app_json=asked)
    flow.reconcile(lambda: flow.labels() == ["web.1 v1", "web.2 v1", "worker.1 v1"])
    assert " !     app.json: its formation names clock, and the app has no such process type." in flow.lines.text
    deploy.scale(flow.platform, flow.app, {"web": 1}, flow.out)
    flow.deploy(WEB + WORKER, app_json='{"formation": {"web": {"quantity": 3}, "worker": {"quantity": 3}}}')
    flow.reconcile(lambda: flow.labels() == ["web.1 v2", "worker.1 v2"])


def test_first_formation_beyond_what_can_be_balanced_is_refused(flow: Flow) -> None:
    assert flow.push(flow.commit(app_json='{"formation": {"web": {"quantity": 13}}}')) == 1
    assert "At most 12 web instances" in flow.lines.text
    assert (flow.app.release, flow.ref(MAIN)) == (None, None)


def test_app_without_a_web_process(flow: Flow) -> None:
    flow.deploy(procfile=WORKER)
    assert "no web process, so nothing answers" in flow.lines.text
    assert "       Nothing of it runs yet: ssh paas ps:scale hello worker=1\n" in flow.lines.text
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    assert (flow.labels(), flow.route) == (["worker.1 v1"], "stopped")
    flow.reconcile()
    assert (flow.labels(), flow.route) == (["worker.1 v1"], "stopped")


def test_process_types_that_wait_to_be_asked_for_are_told_once(flow: Flow) -> None:
    told = "       worker will run when you ask for it: ssh paas ps:scale hello worker=1\n"
    flow.deploy(WEB + WORKER)
    assert told in flow.lines.text
    flow.deploy(WEB + WORKER + "timer: sleep 600\n")
    assert flow.lines.text.count(told) == 1
    assert "       timer will run when you ask for it: ssh paas ps:scale hello timer=1\n" in flow.lines.text


def test_restart_and_start_say_what_they_cannot_do(flow: Flow) -> None:
    flow.deploy()
    deploy.start(flow.platform, flow.app, flow.out)
    assert "hello is not stopped" in flow.lines.text
    deploy.stop(flow.platform, flow.app, flow.out)

    with pytest.raises(Conflict, match="hello is stopped"):
        deploy.restart(flow.platform, App.get(), flow.out)


def test_web_scaled_to_zero_and_back(flow: Flow) -> None:
    flow.deploy()
    deploy.scale(flow.platform, flow.app, {"web": 0}, flow.out)
    assert flow.route == "stopped"
    flow.reconcile(lambda: flow.labels() == [])
    flow.deploy()
    assert (flow.labels(), flow.route) == ([], "stopped")
    deploy.scale(flow.platform, flow.app, {"web": 1}, flow.out)
    assert flow.routed_releases() == {2}


def test_unhealthy_config_change_leaves_the_release_and_says_so(flow: Flow) -> None:
    flow.deploy(first_py="import os; assert 'BAD' not in os.environ")
    with pytest.raises(Unhealthy, match="exited with 1"):
        deploy.set_config(flow.platform, flow.app, {"BAD": "1"}, ALICE, flow.out)
    assert (flow.live.number, flow.release(2).status, flow.labels()) == (1, "failed", ["web.1 v1"])


def test_change_of_an_app_that_was_destroyed_meanwhile(flow: Flow) -> None:
    flow.deploy()
    app = flow.app
    apps.destroy(flow.platform, App.get_by_id(app.id))
    for change in (
        lambda: deploy.rollback(flow.platform, app, 1, ALICE, flow.out),
        lambda: deploy.restart(flow.platform, app, flow.out),
        lambda: deploy.start(flow.platform, app, flow.out),
    ):
        with pytest.raises(NotFound):
            change()
    assert flow.platform.runtime.running() == []


def test_release_phase_that_fails(flow: Flow) -> None:
    flow.deploy()
    lines = Lines()
    assert flow.push(flow.commit(procfile=f"release: echo told; exit 5\n{WEB}"), lines=lines) == 1
    assert " !     Release phase exited with 5. v1 keeps serving.\n" in lines.text
    assert (flow.live.number, flow.release(2).status, flow.labels()) == (1, "failed", ["web.1 v1"])
