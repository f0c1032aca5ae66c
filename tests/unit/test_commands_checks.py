"""checks and checks:set: what is asked of a new web instance, and who said so."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from callers import Caller

from gitpaas.store import App, Event, Release
from gitpaas.values import Artifact, HealthCheck

USUAL = {"path": None, "path_from": "unless told", "timeout": 60, "timeout_from": "unless told"}


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")


def release(caller: Caller, check: HealthCheck) -> None:
    made = Artifact("slug", "/slug", "slug", "", {"web": "./serve"}, health=check)
    with caller.platform.store.session():
        app, config = App.get(App.name == "hello"), caller.platform.store.seal.close("{}")
        Release.create(app=app, number=3, description="", artifact=json.dumps(asdict(made)), config=config, by="alice")
        App.update(release=3).execute()


def asked(caller: Caller) -> dict[str, object]:
    return dict(caller("checks", "hello", "--format", "json").json)


def test_an_open_port_is_enough_unless_told(reader: Caller, deployer: Caller) -> None:
    assert asked(reader) == USUAL
    assert (
        reader("checks", "hello").out
        == deployer("checks:set", "hello").out
        == ("CHECK    VALUE         FROM\npath     an open port  unless told\ntimeout  60 s          unless told\n")
    )


def test_the_tree_is_told_and_what_is_set_goes_before_it(operator: Caller, deployer: Caller, reader: Caller) -> None:
    release(operator, HealthCheck("/health", 20.0))
    assert asked(reader) == {"path": "/health", "path_from": "app.json", "timeout": 20, "timeout_from": "app.json"}

    answer = deployer("checks:set", "hello", "path=/up")
    assert answer.out == "hello: GET /up must answer within 20 s. New instances are asked so from now on.\n"
    assert asked(reader) == {"path": "/up", "path_from": "checks:set", "timeout": 20, "timeout_from": "app.json"}

    assert deployer("checks:set", "hello", "path=", "timeout=5").code == 0
    assert asked(reader) == {"path": "/health", "path_from": "app.json", "timeout": 5, "timeout_from": "checks:set"}


def test_the_operators_limit_holds(operator: Caller, deployer: Caller, reader: Caller) -> None:
    release(operator, HealthCheck("/", 600.0))
    assert asked(reader)["timeout"] == 60

    answer = deployer("checks:set", "hello", "timeout=61")
    assert answer.code == 2
    assert "waits 60 seconds for a new instance at most" in answer.err
    assert "start_timeout" in answer.err


def test_setting_and_unsetting(deployer: Caller, reader: Caller) -> None:
    assert deployer("checks:set", "-a", "hello", "path=/up", "timeout=2.5").code == 0
    assert deployer("checks:set", "hello", "path=", "timeout=").out == (
        "hello: a port must be open within 60 s. New instances are asked so from now on.\n"
    )
    assert asked(reader) == USUAL
    with deployer.platform.store.session():
        texts = [event.text for event in Event.select().where(Event.action == "checks:set")]
    assert texts == ["path=/up timeout=2.5", "path= timeout="]


def test_it_leaves_what_ps_set_was_told(deployer: Caller) -> None:
    deployer("ps:set", "hello", "read-only=on")
    deployer("checks:set", "hello", "path=/up")
    deployer("ps:set", "hello", "read-only=on")

    assert deployer("ps:set", "hello").out == "read-only=on\n"
    assert asked(deployer)["path"] == "/up"


def test_the_value_may_be_a_word_of_its_own_as_dokku_has_it(deployer: Caller) -> None:
    deployer("checks:set", "hello", "path", "/up")
    deployer("builds:set", "hello", "root", "apps/web")
    deployer("ps:set", "hello", "read-only", "on")

    assert asked(deployer)["path"] == "/up"
    assert deployer("builds:set", "hello").out == "root=apps/web\n"
    assert deployer("ps:set", "hello").out == "read-only=on\n"
    with deployer.platform.store.session():
        texts = {event.action: event.text for event in Event.select()}
    assert (texts["checks:set"], texts["ps:set"]) == ("path=/up", "read-only=on")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("path=/up",), "Which app?"),
        (("hello", "path"), "'path' is not KEY=VALUE.\n !     For example: path=/up."),
        (("hello", "path=up"), "'up' is not a path of an address."),
        (("hello", "interval=1"), "There are: path, timeout."),
    ],
)
def test_what_cannot_be_meant(deployer: Caller, argv: tuple[str, ...], told: str) -> None:
    answer = deployer("checks:set", *argv)
    assert answer.code == 2
    assert told in answer.err


def test_a_reader_may_not(reader: Caller) -> None:
    assert reader("checks:set", "hello", "path=/up").code == 3
