"""Commands that run once for a release: in their order, with their log, and what it means when one fails."""

from __future__ import annotations

import json

import pytest
from flow import ALICE, WEB, Flow, Images

from gitpaas import deploy, events, releases
from gitpaas.logs import read_build
from gitpaas.releases import retention
from gitpaas.store import Release

PHASES = f'release: echo "release phase"; echo $GITPAAS_RELEASE\n{WEB}'


def app_json(**scripts: object) -> dict[str, str]:
    return {"app_json": json.dumps({"scripts": scripts})}


ALL = app_json(postdeploy="echo seeded", dokku={"predeploy": "echo prepared", "postdeploy": "echo told"})


def said(flow: Flow, number: int) -> str:
    return read_build(flow.config.release_log("hello", flow.release(number).id)).decode()


def test_all_of_them_on_the_first_deploy_and_in_their_order(flow: Flow) -> None:
    flow.deploy(PHASES, **ALL)

    assert said(flow, 1) == (
        "-----> Predeploy: echo prepared\n"
        "       prepared\n"
        '-----> Release phase: echo "release phase"; echo $GITPAAS_RELEASE\n'
        "       release phase\n"
        "       v1\n"
        "-----> Postdeploy of the first deploy: echo seeded\n"
        "       seeded\n"
        "-----> Postdeploy: echo told\n"
        "       told\n"
    )
    text = flow.lines.text
    places = [
        text.index(line) for line in ("       prepared", "       v1", "Starting web.1", "       seeded", "       told")
    ]
    assert places == sorted(places)
    assert text.index("       told") < text.index("=====> hello v1 deployed")


def test_later_deploys_run_all_but_that_of_the_first(flow: Flow) -> None:
    flow.deploy()
    flow.deploy(PHASES, **ALL)

    assert "prepared" in said(flow, 2)
    assert "told" in said(flow, 2)
    assert "seeded" not in said(flow, 2)


def test_neither_a_rollback_nor_a_change_of_config_runs_any(flow: Flow) -> None:
    flow.deploy(PHASES, **ALL)
    deploy.set_config(flow.platform, flow.app, {"A": "1"}, ALICE, flow.out)
    deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out)

    assert (said(flow, 2), said(flow, 3)) == ("", "")


def test_known_build_runs_them_as_any_deploy(flow: Flow) -> None:
    first = flow.deploy(PHASES, **ALL)
    flow.deploy()

    assert flow.push(first.commit) == 0

    assert "Using the build of v1" in flow.lines.text
    assert "prepared" in said(flow, 3)
    assert "told" in said(flow, 3)


@pytest.mark.parametrize(
    ("files", "timeout", "words"),
    [
        (app_json(predeploy="echo no; exit 4"), 60, "Predeploy exited with 4"),
        (app_json(dokku={"predeploy": "sleep 60"}), 1, "Predeploy: `sleep 60` took longer than 1 seconds"),
    ],
)
def test_predeploy_that_fails_fails_the_deploy(flow: Flow, files: dict[str, str], timeout: int, words: str) -> None:
    flow.deploy()
    object.__setattr__(flow.config, "release_timeout", timeout)

    assert flow.push(flow.commit(PHASES, **files)) == 1

    assert f" !     {words}. v1 keeps serving." in flow.lines.text
    assert ("The limit is release_timeout" in flow.lines.text) is (timeout == 1)
    assert "release phase" not in said(flow, 2)
    assert flow.release(2).status == "failed"
    assert "-----> Predeploy: " in said(flow, 2)
    assert flow.routed_releases() == {1}


def test_postdeploy_that_fails_is_told_and_changes_nothing(flow: Flow) -> None:
    files = app_json(postdeploy="echo oh; exit 5", dokku={"postdeploy": "echo told"})

    assert flow.push(flow.commit(**files)) == 0

    assert " !     Postdeploy of the first deploy exited with 5. v1 is live all the same." in flow.lines.text
    assert said(flow, 1).endswith("       told\n")
    assert flow.last_build().status == "live"
    assert flow.routed_releases() == {1}
    assert flow.deploy().number == 2
    first, second = (event for event in events.latest(9, events.Wanted("hello")) if event.action == "deploy")
    assert (first.result, second.result) == ("failed", "ok")
    assert first.text == f"{flow.release(1).commit[:7]} v1: Live, but: Postdeploy of the first deploy exited with 5"


def test_in_an_image_too(flow: Flow, images: Images) -> None:
    flow.deploy(PHASES, **ALL)

    assert "prepared" in said(flow, 1)
    assert "told" in said(flow, 1)


def test_output_is_bounded_and_its_beginning_and_end_stay(flow: Flow) -> None:
    flow.deploy(f"release: seq 100000 400000\n{WEB}")

    text = said(flow, 1)

    assert len(text) <= 1024 * 1024
    assert text.startswith("-----> Release phase: seq")
    assert "lines left out" in text
    assert text.endswith("       400000\n")
    assert all(len(line.strip()) == 6 for line in text.splitlines()[1:] if "..." not in line)


def test_output_goes_with_the_oldest_releases(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_OUTPUTS", 2)
    for _ in range(2):
        flow.deploy(PHASES)
    Release.update(pinned=True).where(Release.number == 1).execute()
    for _ in range(3):
        flow.deploy(PHASES)

    kept = {number for number in range(1, 6) if said(flow, number)}

    assert kept == {1, 4, 5}
    assert releases.is_kept(flow.platform, flow.release(1))
