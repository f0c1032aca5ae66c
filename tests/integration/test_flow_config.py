"""Changes of config vars beside each other, a deploy and a rollback: which release has them, and that none is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise

import pytest
from flow import ALICE, BOB, Flow, meanwhile
from instances import until

from gitpaas import deploy, locks
from gitpaas.apps import configvars
from gitpaas.builds import phases
from gitpaas.errors import Unhealthy, UsageError
from gitpaas.store import Release

SLOW = "import time; time.sleep(1.5)"  # before it listens
AT_ONCE = 6


def set_(flow: Flow, restart: bool = True, **changes: str | None) -> Release | None:
    return deploy.set_config(flow.platform, flow.app, changes, ALICE, flow.out, restart=restart)


Meantime = Callable[[Callable[[], object]], None]


@pytest.fixture
def in_release_phase(monkeypatch: pytest.MonkeyPatch) -> Meantime:
    """Something that happens while a deploy has made its release, and not yet begun to start it."""
    return lambda work: monkeypatch.setattr(phases, "prepare", lambda *_: work())


def all_at_once(flow: Flow, changes: list[dict[str, str]]) -> None:
    """Each by somebody else."""
    begin, raised = threading.Barrier(len(changes)), []

    def run(change: dict[str, str]) -> None:
        try:
            with flow.platform.store.session():
                begin.wait()
                set_(flow, **change)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not raised, raised


def test_many_changes_at_once_are_all_kept_each_in_a_release_of_its_own(flow: Flow) -> None:
    flow.deploy()
    all_at_once(flow, [{f"VAR{number}": str(number)} for number in range(AT_ONCE)])

    assert flow.variables() == {f"VAR{number}": str(number) for number in range(AT_ONCE)}
    assert flow.variables(flow.live) == flow.variables()
    made = list(Release.select().order_by(Release.number))
    assert [len(flow.variables(release)) for release in made] == list(range(AT_ONCE + 1))
    assert {release.status for release in made} == {"live"}
    for before, after in pairwise(made):
        new = flow.variables(after).keys() - flow.variables(before).keys()
        assert after.description == f"Set {new.pop()}"


def test_of_many_changes_of_one_name_the_last_release_is_what_is_kept(flow: Flow) -> None:
    flow.deploy()
    all_at_once(flow, [{"TEXT": str(number)} for number in range(AT_ONCE)])

    assert flow.live.number == AT_ONCE + 1
    assert flow.variables(flow.live) == flow.variables()
    assert {flow.variables(flow.release(number))["TEXT"] for number in range(2, AT_ONCE + 2)} == set(
        map(str, range(AT_ONCE))
    )


def test_a_change_during_a_rollback_is_kept(flow: Flow) -> None:
    flow.deploy(first_py=SLOW)
    set_(flow, TEXT="new")
    with meanwhile(flow, lambda f: deploy.rollback(f.platform, f.app, 1, BOB, f.out)):
        until(lambda: "web.1 v3" in flow.labels())
        set_(flow, AFTER="1")
        set_(flow, restart=False, LATER="1")

    assert flow.variables(flow.live) == {"AFTER": "1"}
    assert flow.variables() == {"AFTER": "1", "LATER": "1"}


def test_who_waits_for_another_change_is_told(flow: Flow) -> None:
    flow.deploy()
    with ExitStack() as another:
        another.enter_context(locks.held(flow.config.rollout_lock("hello")))
        with meanwhile(flow, lambda f: set_(f, TEXT="new")):
            until(lambda: "Waiting for another change of hello to end\n" in flow.lines.text)
            assert flow.variables() == {}
            another.close()
    assert flow.variables(flow.live) == {"TEXT": "new"}


def test_a_change_during_the_first_deploy_is_in_what_it_makes(flow: Flow, in_release_phase: Meantime) -> None:
    in_release_phase(lambda: set_(flow, TEXT="new"))
    flow.deploy()

    assert (flow.live.number, flow.variables(flow.live)) == (1, {"TEXT": "new"})


def test_a_change_for_later_is_in_what_a_deploy_under_way_makes(flow: Flow, in_release_phase: Meantime) -> None:
    flow.deploy()
    in_release_phase(lambda: set_(flow, restart=False, TEXT="new"))
    flow.deploy(first_py="# changed")

    assert (flow.live.number, flow.variables(flow.live)) == (2, {"TEXT": "new"})


def test_a_change_with_which_the_app_does_not_come_up(flow: Flow) -> None:
    # given an app that wants one of its config vars to be right
    set_(flow, MODE="good")
    flow.deploy(first_py='import os; assert os.environ["MODE"] == "good", "MODE is bad"')
    # when it is made wrong
    with pytest.raises(Unhealthy, match="exited with 1"):
        set_(flow, MODE="bad", TEXT="new")
    # then what served serves, the change is kept, and the app's own words and what stays are told
    assert (flow.live.number, flow.variables(flow.live), flow.routed_releases()) == (1, {"MODE": "good"}, {1})
    assert flow.variables() == {"MODE": "bad", "TEXT": "new"}
    assert flow.release(2).status == "failed"
    assert "MODE is bad" in flow.lines.text
    assert "v2 did not come up. v1 stays live, with the config vars that it has." in flow.lines.text
    # and the other half brings all of it live
    set_(flow, MODE="good")
    assert (flow.live.number, flow.variables(flow.live)) == (3, {"MODE": "good", "TEXT": "new"})


def test_all_others_go_with_the_same_change(flow: Flow) -> None:
    set_(flow, A="1", B="2")
    flow.deploy()

    deploy.set_config(flow.platform, flow.app, {"B": "3"}, ALICE, flow.out, replace=True)

    assert flow.variables() == flow.variables(flow.live) == {"B": "3"}


def test_what_is_not_live_is_known_until_a_release_has_it(flow: Flow) -> None:
    set_(flow, A="1", B="1", C="1")
    flow.deploy()
    assert configvars.not_live(flow.platform, flow.app, flow.live) == []

    set_(flow, restart=False, A="2", B=None, D="1")
    assert configvars.not_live(flow.platform, flow.app, flow.live) == ["A", "B", "D"]
    set_(flow, C="2")
    assert configvars.not_live(flow.platform, flow.app, flow.live) == []


def test_what_waits_for_the_next_release_waits_through_a_rollback(flow: Flow) -> None:
    # given a release to go back to, a live one, and changes of all kinds that wait for the next one
    set_(flow, A="1", B="1", C="1")
    flow.deploy()
    set_(flow, A="2", C="2", D="2")
    set_(flow, restart=False, A="hidden", B=None, E="hidden", D="3")
    # when
    back = deploy.rollback(flow.platform, flow.app, None, BOB, flow.out)
    # then the release is what the older one was, and nothing that waited is lost; names are told, but no value
    assert flow.variables(back) == {"A": "1", "B": "1", "C": "1"}
    assert flow.variables() == {"A": "hidden", "C": "1", "D": "3", "E": "hidden"}
    assert "Not live yet, for the next release: A, B, D, E (ssh paas config hello)\n" in flow.lines.text
    assert "hidden" not in flow.lines.text
    # and the next release has it
    flow.deploy()
    assert flow.variables(flow.live) == flow.variables() == {"A": "hidden", "C": "1", "D": "3", "E": "hidden"}


def test_a_rollback_with_nothing_that_waits_tells_of_nothing(flow: Flow) -> None:
    set_(flow, A="1")
    flow.deploy()
    set_(flow, A="2")

    deploy.rollback(flow.platform, flow.app, None, BOB, flow.out)

    assert flow.variables() == flow.variables(flow.live) == {"A": "1"}
    assert "Not live yet" not in flow.lines.text


def test_a_release_names_the_first_of_many(flow: Flow) -> None:
    set_(flow, OLD="1")
    flow.deploy()
    assert set_(flow, B="1", A="1").description == "Set A, B"
    assert set_(flow, A=None).description == "Unset A"
    many = {f"V{number:02}": "1" for number in range(20)}
    made = deploy.set_config(flow.platform, flow.app, many, ALICE, flow.out, replace=True)
    assert made.description == "Set V00, V01, V02, V03, V04, V05, V06, V07 and 12 more, unset all others"


def test_more_than_a_program_can_have_is_refused_whole(flow: Flow) -> None:
    large = {f"V{number}": "x" * 99_000 for number in range(10)}
    set_(flow, **large)
    with pytest.raises(UsageError, match="at most 1000000 bytes"):
        set_(flow, MORE="x" * 20_000, A="1")

    assert flow.variables() == large
    assert flow.deploy().status == "live"
    assert set_(flow, V0=None).status == "live"


def test_defaults_never_take_the_place_of_what_people_set(flow: Flow) -> None:
    set_(flow, A="mine")

    assert configvars.add(flow.platform, flow.app, {"A": "default", "B": "default"}) == ["B"]
    assert flow.variables() == {"A": "mine", "B": "default"}
