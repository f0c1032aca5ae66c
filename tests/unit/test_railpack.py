"""What is made of Railpack's answers, without Railpack: recorded ones (tests/plans), and some that it never gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from railpacks import plant, recorded

from gitpaas.builders.fingerprint import fingerprint
from gitpaas.builders.railpack import RailpackBuilder, job_for, plan_for
from gitpaas.builders.railpack_analysis import Analysis, parse, previous
from gitpaas.builders.railpack_blame import Hiccup, check
from gitpaas.builders.railpack_look import look
from gitpaas.builders.railpack_secrets import for_steps
from gitpaas.config import Config
from gitpaas.errors import BuildFailed, ToolFailed
from gitpaas.output import Output
from gitpaas.values import BuildRequest, Detection, Secret


def request(tree: Path, env: Mapping[str, str | Secret] | None = None, app: str = "hello") -> BuildRequest:
    return BuildRequest(
        app=app, build=7, commit="c" * 40, tree=tree, cache=tree, env=env or {}, uid=50001, timeout=60
    )  # fmt: skip


def answer(**fields: object) -> Analysis:
    plan = {"steps": [{"name": "build", "caches": ["pip", "apt"]}], "deploy": {"startCommand": "./run"}}
    return parse(json.dumps({"success": True, "railpackVersion": "0.23.0", "plan": plan | fields}))


def failure(*lines: str) -> Analysis:
    return parse(json.dumps({"logs": [{"Level": "error", "Msg": line} for line in lines]}))


# What a tree is taken for


@pytest.mark.parametrize(
    ("files", "label"),
    [
        ({"requirements.txt": "", "index.html": ""}, "Python"),
        ({"server.py": ""}, "Python"),
        ({"package.json": "{}", "requirements.txt": ""}, "Python"),
        ({"package.json": "{}", "index.html": ""}, "Node"),
        ({"composer.json": "", "package.json": "{}"}, "PHP"),
        ({"go.mod": ""}, "Go"),
        ({"pom.xml": ""}, "Java"),
        ({"web.csproj": ""}, ".NET"),
        ({"public/x": ""}, "Static"),
        ({"start.sh": "", "index.html": ""}, "Static"),
        ({"start.sh": "", "Procfile": "web: ./x"}, "Shell"),
        ({"Procfile": "web: ./x"}, "Procfile"),
        ({"Procfile": "release: ./x"}, None),
        ({"railpack.json": "{}"}, "railpack.json"),
        ({"railpack.json": '{"provider": "node"}', "main.py": ""}, "Node"),
        ({"railpack.json": '{"provider": "cobol"}', "main.py": ""}, "Python"),
        ({"src/main.py": ""}, None),
        ({}, None),
    ],
)
def test_a_tree_is_called_what_railpack_will_take_it_for(
    tmp_path: Path, files: Mapping[str, str], label: str | None
) -> None:
    assert look(plant(tmp_path, files)) == label


def test_a_push_says_that_railpack_will_build_it(config: Config, tmp_path: Path) -> None:
    detection = RailpackBuilder(config).detect(plant(tmp_path, {"main.py": ""}))

    assert detection == Detection("railpack", "Python", by="Railpack 0.23")


def test_a_tree_that_nothing_explains_is_refused_before_any_tool_is_fetched(config: Config, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        RailpackBuilder(config).build(request(plant(tmp_path / "src", {"README.md": ""})), Output())

    assert "Nothing here says how to run this app" in caught.value.message


# Answers


@pytest.mark.parametrize(
    ("name", "label", "details"),
    [
        ("python", "Python 3.13", {"python": "3.13.7", "Provider": "python"}),
        ("python-uv", "Python 3.13", {"python": "3.13.7", "uv": "9.8.7", "Provider": "python"}),
        ("node", "Node 18.4", {"node": "18.4.7", "Provider": "node"}),
        ("static", "Static", {"caddy": "2.4.7", "Provider": "staticfile"}),
        ("shell", "Shell", {"Provider": "shell"}),
        ("procfile", "", {"Provider": "none"}),
        ("go", "Go 1.23", {"go": "1.23.7", "Provider": "golang"}),
    ],
)
def test_providers_and_versions_are_told_and_kept(name: str, label: str, details: Mapping[str, str]) -> None:
    analysis = parse(recorded(name))

    assert analysis.label == label
    assert analysis.details == {**details, "Railpack": analysis.version}


def test_the_provider_that_railpack_json_names_is_the_one_that_is_told() -> None:
    answer = json.loads(recorded("python"))
    answer["logs"].insert(0, {"Level": "info", "Msg": "Using provider Shell from config"})
    analysis = parse(json.dumps(answer))

    assert (analysis.label, analysis.details["Provider"]) == ("Shell", "shell")


def test_the_pusher_reads_what_railpack_chose_and_why_and_no_noise() -> None:
    assert list(parse(recorded("python")).lines()) == ["Using pip", "python 3.13.7 (railpack default: 3.13)"]


def test_of_the_last_builds_details_only_packages_are_handed_on() -> None:
    details = {"python": "3.12.1", "npm:left-pad": "1.3.0", "Railpack": "0.23.0", "x": "$(reboot)", "--env": "1"}

    assert previous(details) == {"npm:left-pad": "1.3.0", "python": "3.12.1"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"success": true, "plan": []}',
        '{"success": true, "plan": {"deploy": 3}}',
        '{"success": true, "plan": {"deploy": {}, "secrets": [3]}}',
        '{"resolvedPackages": ["x"]}',
        '{"logs": [{"Level": "error"}]}',
    ],
)
def test_an_answer_that_is_none_is_the_platforms_fault(text: str) -> None:
    with pytest.raises(ToolFailed):
        parse(text)


# Whose fault


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("hujson: line 2, column 1: parsing value: unexpected EOF", "Railpack: hujson: line 2"),
        ("package `foo` not available in Mise. Try installing as apt package instead", "There is no package foo"),
        ("failed to resolve version 99 of python", "There is no version 99 of python"),
        ("no version available for php 9.9", "There is no version 9.9 of php"),
        (
            "failed to run mise command '/tmp/m latest ruby@nightly': exit status 1\n\n\nmise ERROR bad version",
            "ruby nightly cannot be had",
        ),
    ],
)
def test_what_the_app_asks_for_in_vain_is_its_own_fault(tmp_path: Path, error: str, message: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        check(failure(error), tmp_path)

    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    "reason",
    [
        "mise ERROR error sending request for url (https://nodejs.org/dist/index.json)",
        "mise ERROR HTTP status client error (403 Forbidden) for url (https://api.github.com/x)",
        "mise ERROR HTTP status server error (502 Bad Gateway) for url (https://x)",
        "mise ERROR operation timed out",
    ],
)
def test_a_network_that_fails_is_not_the_apps_fault_and_worth_another_try(tmp_path: Path, reason: str) -> None:
    error = f"failed to run mise command '/tmp/m latest node@22': exit status 1\n\n\n{reason}\n"

    with pytest.raises(Hiccup) as caught:
        check(failure("earlier", error), tmp_path)

    assert caught.value.message == f"The versions of node could not be looked up: {reason.removeprefix('mise ERROR ')}"


def test_who_is_asked_too_often_is_told_of_the_token(tmp_path: Path) -> None:
    reason = "mise ERROR HTTP status client error (403 rate limit exceeded) for url (https://api.github.com/x)"

    with pytest.raises(Hiccup) as caught:
        check(failure(f"failed to run mise command '/tmp/m latest gleam@1': exit status 1\n\n\n{reason}\n"), tmp_path)

    assert "GITHUB_TOKEN" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "error",
    [
        "failed to ensure mise is installed: dial tcp: lookup github.com: no such host",
        "failed to create mutex: permission denied",
        "failed to run mise command '/tmp/m latest node@22': signal: killed",
    ],
)
def test_a_railpack_that_does_not_work_is_the_platforms_fault(tmp_path: Path, error: str) -> None:
    with pytest.raises(ToolFailed):
        check(failure(error), tmp_path)


# Secrets


def test_steps_get_the_config_vars_that_the_plan_names(tmp_path: Path) -> None:
    env = {"TOKEN": Secret("hush"), "OTHER": Secret("x"), "HTTPS_PROXY": "http://proxy"}

    secrets = for_steps(("TOKEN", "HTTPS_PROXY"), request(tmp_path, env))

    assert secrets == {"TOKEN": Secret("hush"), "HTTPS_PROXY": Secret("http://proxy")}


def test_a_secret_that_no_config_var_gives_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        for_steps(("TOKEN", "WANTED"), request(tmp_path, {"TOKEN": Secret("hush")}))

    assert "WANTED" in caught.value.message
    assert caught.value.hint == "Set them and push again: ssh paas config:set hello WANTED=..."


def test_paths_of_this_machine_are_no_variables_of_a_step(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed):
        for_steps(("SSL_CERT_FILE",), request(tmp_path, {"SSL_CERT_FILE": "/etc/ssl/ca.pem"}))


def test_the_hash_of_secrets_changes_with_each_value_name_and_app_and_takes_the_servers_key(config: Config) -> None:
    config.home.mkdir(parents=True)
    config.secret_key.write_bytes(b"the key")
    one = fingerprint(config, "hello", {"A": Secret("1"), "B": Secret("2")})
    others = {
        fingerprint(config, "hello", {"A": Secret("1"), "B": Secret("3")}),
        fingerprint(config, "hello", {"A": Secret("1"), "C": Secret("2")}),
        fingerprint(config, "world", {"A": Secret("1"), "B": Secret("2")}),
    }
    config.secret_key.write_bytes(b"another key")
    others.add(fingerprint(config, "hello", {"A": Secret("1"), "B": Secret("2")}))
    config.secret_key.write_bytes(b"the key")

    assert one not in others
    assert len(others) == 4
    assert fingerprint(config, "hello", {"B": Secret("2"), "A": Secret("1")}) == one


# The plan, and what BuildKit is asked


def test_no_step_of_the_plan_is_shared_with_another_apps(config: Config, tmp_path: Path) -> None:
    asked = request(tmp_path, app="my-app")

    assert plan_for(answer(secrets=["TOKEN"]), asked)["secrets"] == ["TOKEN", "GITPAAS_APP_MY_APP"]
    assert plan_for(answer(), asked)["secrets"] == ["GITPAAS_APP_MY_APP"]
    assert job_for(config, asked, answer(), {}, tmp_path).secrets == {"GITPAAS_APP_MY_APP": Secret("1")}


@pytest.mark.parametrize(("value", "left"), [("pip", ["apt"]), ("*", []), ("pip apt", []), ("npm", ["pip", "apt"])])
def test_caches_can_be_switched_off_by_a_config_var(tmp_path: Path, value: str, left: list[str]) -> None:
    plan = plan_for(answer(), request(tmp_path, {"RAILPACK_DISABLE_CACHES": Secret(value)}))

    assert plan["steps"][0]["caches"] == left


def test_buildkit_is_asked_for_the_frontend_of_the_same_railpack(config: Config, tmp_path: Path) -> None:
    job = job_for(config, request(tmp_path), answer(), {"TOKEN": Secret("hush")}, tmp_path / "plan")

    hashed = job.options["build-arg:secrets-hash"]
    assert job.frontend == "gateway.v0"
    assert job.options == {
        "source": "ghcr.io/railwayapp/railpack-frontend:v0.23.0",
        "filename": "railpack-plan.json",
        "build-arg:cache-key": "hello:",
        "build-arg:secrets-hash": hashed,
    }
    assert "hush" not in repr(job)
    assert job_for(config, request(tmp_path), answer(), {}, tmp_path).options.keys() == job.options.keys() - {
        "build-arg:secrets-hash"
    }
