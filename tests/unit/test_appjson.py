"""app.json: what is taken from it, and the field that is named when it is off."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gitpaas import appjson
from gitpaas.errors import BuildFailed
from gitpaas.values import HealthCheck


def parse(document: Any) -> appjson.AppJson:
    return appjson.parse(json.dumps(document))


def test_defaults_are_given_for_what_is_not_set_yet() -> None:
    manifest = parse({"env": {"LEVEL": "info", "DEPTH": {"value": 3}, "ON": True, "TOKEN": {"required": True}}})

    assert manifest.defaults(known={"LEVEL"}) == {"DEPTH": "3", "ON": "true"}


def test_a_generated_secret_is_long_and_new_each_time() -> None:
    manifest = parse({"env": {"KEY": {"generator": "secret"}}})

    first, second = manifest.defaults(())["KEY"], manifest.defaults(())["KEY"]

    assert len(first) == 64
    assert first != second
    assert manifest.defaults({"KEY"}) == {}


def test_missing_names_what_must_be_set_by_hand() -> None:
    manifest = parse(
        {"env": {"A": {"description": "a key"}, "B": {"required": False}, "C": "x", "D": {"generator": "secret"}}}
    )

    assert [(v.name, v.description) for v in manifest.missing(())] == [("A", "a key")]
    assert manifest.missing({"A"}) == []


def test_unset_names_what_is_required_whatever_its_default() -> None:
    manifest = parse({"env": {"A": {}, "B": {"required": False}, "C": "x", "D": {"generator": "secret"}}})

    assert manifest.unset({"A"}) == ["C", "D"]


def test_what_the_platform_provides_is_neither_missing_nor_taken() -> None:
    manifest = parse({"env": {"PORT": "5000", "GITPAAS_URL": {"required": True}, "A": "1"}})

    assert (manifest.missing(()), manifest.unset(()), manifest.defaults(())) == ([], ["A"], {"A": "1"})
    assert manifest.provided() == ["PORT", "GITPAAS_URL"]


def test_formation_and_health() -> None:
    manifest = parse(
        {
            "formation": {"web": {"quantity": 2, "size": "eco"}, "worker": {}},
            "healthchecks": {"web": [{"type": "liveness"}, {"type": "startup", "path": "/up", "timeout": 30}]},
        }
    )

    assert manifest.formation == {"web": 2, "worker": 1}
    assert manifest.health == HealthCheck("/up", 30.0)


def test_attempts_make_one_time_limit_of_all_of_them() -> None:
    manifest = parse({"healthchecks": {"web": [{"path": "/", "timeout": 5, "attempts": 3, "wait": 2}]}})

    assert manifest.health.timeout == 21


def test_a_tree_without_one_asks_for_nothing(tmp_path: Path) -> None:
    assert appjson.read(tmp_path) == appjson.AppJson()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is not JSON"),
        ("[]", "the whole file is [], not an object"),
        ('{"env": []}', None),
        ('{"env": [1]}', "env is [1], not an object"),
        ('{"env": {"A B": "x"}}', "'A B' is not a config var name"),
        ('{"env": {"A": [1]}}', "env.A is [1]"),
        ('{"env": {"A": {"generator": "uuid"}}}', 'env.A.generator is "uuid"'),
        ('{"env": {"A": {"required": "yes"}}}', "env.A.required"),
        ('{"formation": {"web": {"quantity": -1}}}', "formation.web.quantity is -1"),
        ('{"formation": {"web": {"quantity": true}}}', "formation.web.quantity is true"),
        ('{"formation": {"a/b": {"quantity": 1}}}', "not a process type"),
        ('{"healthchecks": {"web": {}}}', "healthchecks.web is {}"),
        ('{"healthchecks": {"web": [{"path": "up"}]}}', 'path is "up"'),
        ('{"healthchecks": {"web": [{"path": "/a b"}]}}', "has a space"),
        ('{"healthchecks": {"web": [{"path": "/a\\r\\nX: y"}]}}', "not a path"),
        ('{"healthchecks": {"web": [{"timeout": 0}]}}', "timeout is 0"),
        ('{"healthchecks": {"web": [{"timeout": 1e999}]}}', "timeout is Infinity"),
    ],
)
def test_the_field_that_is_off_is_named(text: str, said: str | None) -> None:
    if said is None:
        assert appjson.parse(text) == appjson.AppJson()
        return
    with pytest.raises(BuildFailed) as caught:
        appjson.parse(text)

    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_environment_can_hold_is_refused(value: str) -> None:
    with pytest.raises(BuildFailed, match=r"env\.A is .*, which no environment can hold"):
        parse({"env": {"A": {"value": value}}})


def test_a_number_too_long_to_read_is_refused() -> None:
    with pytest.raises(BuildFailed, match="it is not JSON"):
        appjson.parse('{"env": {"A": ' + "9" * 5000 + "}}")


def test_scripts_by_heroku_s_and_dokku_s_names() -> None:
    text = """{"scripts": {"postdeploy": "rake db:seed", "predeploy": "never",
               "dokku": {"predeploy": " bin/check ", "postdeploy": "bin/notify"}, "test": "pytest"}}"""
    assert appjson.parse(text).scripts == {
        "predeploy": "bin/check",
        "postdeploy": "bin/notify",
        "postdeploy-first": "rake db:seed",
    }
    assert appjson.parse('{"scripts": {"predeploy": "bin/check"}}').scripts == {"predeploy": "bin/check"}
    assert appjson.parse('{"scripts": {"postdeploy": {"command": "a", "size": "eco"}}}').scripts == {
        "postdeploy-first": "a"
    }
    assert appjson.parse('{"scripts": {"postdeploy": "", "dokku": null}}').scripts == {}


@pytest.mark.parametrize(
    ("scripts", "field"),
    [
        ('"x"', "scripts is"),
        ('{"dokku": [1]}', "scripts.dokku is"),
        ('{"predeploy": 1}', "scripts.predeploy is 1, not a command"),
        ('{"postdeploy": {"command": ["a"]}}', "scripts.postdeploy.command is"),
        ('{"dokku": {"postdeploy": "a\\u0000b"}}', "scripts.dokku.postdeploy is"),
    ],
)
def test_scripts_that_are_off(scripts: str, field: str) -> None:
    with pytest.raises(BuildFailed, match=re.escape(field)):
        appjson.parse('{"scripts": ' + scripts + "}")
