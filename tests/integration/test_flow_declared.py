"""Config vars that app.json declares: taken up on the first deploy, told on later ones."""

from __future__ import annotations

import json
from typing import Any

from flow import ALICE, WEB, Flow

from gitpaas import deploy
from gitpaas.apps import options
from gitpaas.values import RunOptions

TOLD = "app.json requires config vars that are not set"


def with_env(**env: Any) -> dict[str, str]:
    return {"app_json": json.dumps({"env": env})}


def test_the_first_deploy_takes_them_up_and_the_release_has_them(flow: Flow) -> None:
    flow.deploy(**with_env(LEVEL="info", KEY={"generator": "secret"}, MAYBE={"required": False}))

    assert flow.variables(flow.live) == flow.variables()
    assert (flow.variables()["LEVEL"], len(flow.variables()["KEY"])) == ("info", 64)
    assert "MAYBE" not in flow.variables()
    assert "Config vars from app.json: KEY, LEVEL\n" in flow.lines.text


def test_what_must_be_set_first_is_told_with_its_description(flow: Flow) -> None:
    files = with_env(TOKEN={"description": "From the mail service"}, KEY={"generator": "secret"})
    assert flow.push(flow.commit(**files)) == 1
    assert "TOKEN: From the mail service" in flow.lines.text
    assert "Set them and push again: ssh paas config:set hello TOKEN=..." in flow.lines.text
    assert flow.variables() == {}

    deploy.set_config(flow.platform, flow.app, {"TOKEN": "x"}, ALICE, flow.out)
    flow.deploy(**files)
    assert flow.variables().keys() == {"TOKEN", "KEY"}


def test_a_secret_is_made_once_though_the_first_deploy_fails(flow: Flow) -> None:
    files = with_env(KEY={"generator": "secret"})
    assert flow.push(flow.commit(first_py="raise SystemExit(3)", **files)) == 1
    made = flow.variables()["KEY"]

    flow.deploy(**files)
    assert flow.variables() == {"KEY": made}


def test_a_later_deploy_tells_what_is_new_and_changes_nothing(flow: Flow) -> None:
    flow.deploy(**with_env(LEVEL="info"))
    assert TOLD not in flow.lines.text
    deploy.set_config(flow.platform, flow.app, {"LEVEL": "debug"}, ALICE, flow.out)

    flow.deploy(**with_env(LEVEL="info", TOKEN={}, SIZE="5", MAYBE={"required": False}))

    assert flow.variables() == {"LEVEL": "debug"}
    assert f" !     {TOLD}: TOKEN, SIZE\n" in flow.lines.text
    assert "Set them: ssh paas config:set hello TOKEN=... SIZE=...\n" in flow.lines.text


def test_what_the_platform_provides_is_told_and_not_taken(flow: Flow) -> None:
    flow.deploy(**with_env(PORT={"required": True}, GITPAAS_URL="http://elsewhere", LEVEL="info"))

    assert flow.variables() == {"LEVEL": "info"}
    assert "app.json: PORT is given by the platform" in flow.lines.text
    assert "app.json: GITPAAS_URL is given by the platform" in flow.lines.text


def test_the_release_phase_knows_its_commit_and_the_url(flow: Flow) -> None:
    release = flow.deploy(f"release: echo phase $GITPAAS_COMMIT $GITPAAS_URL\n{WEB}")

    assert f"phase {release.commit} {flow.config.url('hello')}" in flow.lines.text


def test_a_new_instance_is_asked_as_people_chose_whatever_the_tree_says(flow: Flow) -> None:
    asks = {"app_json": json.dumps({"healthchecks": {"web": [{"path": "/stay", "timeout": 1}]}})}
    options.keep(flow.app, RunOptions(check_path="/up", check_timeout=60.0))
    flow.deploy(**asks)
    assert "Health check: GET /up -> 200 after" in flow.lines.text

    options.keep(flow.app, RunOptions())
    assert flow.push(flow.commit(**asks)) == 1
    assert flow.live.number == 1
