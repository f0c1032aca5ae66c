"""The real Railpack in its sandbox, over small trees: the plans it makes, and whose fault it is when there is none.

Seen here is the plan; what is not, since the images and runtimes of languages are out of reach for tests, is that
`mise install` of a plan finds its versions, and that what was installed runs. Each plan is compared as a whole with
the one in tests/plans. Railpack of another version, or changed on purpose: GITPAAS_TESTS_RECORD=1 writes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import railpacks
import samples
from railpacks import PLANS, Yard, plant, recorded

from gitpaas.builders import railpack_run
from gitpaas.builders.railpack_analysis import Analysis, parse
from gitpaas.builders.railpack_blame import Hiccup
from gitpaas.builders.workshop import Workshop
from gitpaas.errors import BuildFailed, ToolFailed
from gitpaas.toolchain import Toolchain
from gitpaas.values import BuildRequest, Secret

pytestmark = pytest.mark.needs("root", "sandbox", "railpack")

TREES: Mapping[str, Callable[[Path], Path]] = {
    "python": lambda target: samples.copy("flask", target),
    "python-uv": lambda target: samples.copy("uv-lock", target),
    "node": lambda target: samples.copy("express", target),
    "static": lambda target: samples.copy("static", target),
    "shell": lambda target: samples.copy("start-sh", target),
    "procfile": lambda target: samples.copy("crashes-on-start", target),
    "go": lambda target: plant(target, {"go.mod": "module hello\n\ngo 1.23\n", "main.go": "package main\n"}),
    "ruby": lambda target: plant(target, {"Gemfile": "gem 'sinatra'\n", "Procfile": "web: ruby app.rb\n"}),
}

TIRED = """#!/bin/sh
[ "$1" = --version ] && exit
echo not now
exit 75
"""


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return railpacks.yard(tmp_path / "home", railpacks.with_stand_in(tmp_path / "tools"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(railpack_run, "_PAUSES", (0.01, 0.01))


def analyse(yard: Yard, request: BuildRequest) -> Analysis:
    return railpack_run.analyse(Workshop(yard.config, request, yard.out), Toolchain(yard.config))


def refused(yard: Yard, files: Path, **more: Mapping[str, str]) -> BuildFailed:
    with pytest.raises(BuildFailed) as caught:
        analyse(yard, yard.request(files, **more))
    return caught.value


# Plans


@pytest.mark.parametrize("name", TREES)
def test_the_plan_of_a_small_tree_is_the_expected_one(
    name: str, yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str] = []
    monkeypatch.setattr(railpack_run, "parse", lambda text: answers.append(text) or parse(text))

    analysis = analyse(yard, yard.request(TREES[name](tmp_path / "src")))

    if os.environ.get("GITPAAS_TESTS_RECORD"):
        (PLANS / f"{name}.json").write_text(answers[0] + "\n")
    assert replace(analysis, version="") == replace(parse(recorded(name)), version="")  # a build by hand is "dev"


def test_config_vars_are_in_the_plan_by_name_and_their_values_nowhere(yard: Yard, tmp_path: Path) -> None:
    files = plant(tmp_path / "src", {"start.sh": ""})

    analysis = analyse(yard, yard.request(files, env={"TOKEN": "hush-hush", "EMPTY": "", "RAILPACK_VERBOSE": "1"}))

    assert analysis.secrets == ("EMPTY", "TOKEN")
    assert "hush-hush" not in repr(analysis)


def test_settings_in_config_vars_and_in_railpack_json_shape_the_plan(yard: Yard, tmp_path: Path) -> None:
    files = plant(tmp_path / "src", {"start.sh": "", "railpack.json": '{"deploy": {"aptPackages": ["jq"]}}'})

    plan = analyse(yard, yard.request(files, env={"RAILPACK_BUILD_CMD": "make all"})).plan

    commands = [command.get("customName") for step in plan["steps"] for command in step.get("commands", ())]
    assert "install apt packages: jq" in commands
    assert "make all" in commands


def test_versions_stay_what_they_were_until_the_app_asks_for_another(yard: Yard, tmp_path: Path) -> None:
    files = plant(tmp_path / "src", {"main.py": ""})
    before = {"python": "3.11.2", "Provider": "python", "Railpack": "0.22.0"}

    kept = analyse(yard, yard.request(files, previous=before))
    plant(files, {".python-version": "3.12"})
    asked = analyse(yard, yard.request(files, previous=before))

    assert list(kept.lines()) == ["python 3.11.2 (previous installed version: 3.11.2)"]
    assert list(asked.lines()) == ["python 3.12.7 (.python-version: 3.12)"]


def test_a_procfile_that_is_no_yaml_is_read_all_the_same(yard: Yard, tmp_path: Path) -> None:
    command = 'python -c "print({1: 2})" # "and: so on"'
    files = plant(tmp_path / "src", {"main.py": "", "Procfile": f"web: {command}\nworker: [ -f x ] && sleep 1\n"})

    assert analyse(yard, yard.request(files)).start == command


def test_a_release_command_is_not_what_starts_the_app(yard: Yard, tmp_path: Path) -> None:
    files = plant(tmp_path / "src", {"start.sh": "", "Procfile": "release: ./migrate\n"})

    assert analyse(yard, yard.request(files)).start == "sh start.sh"

    (files / "start.sh").unlink()
    plant(files, {"package.json": "{}"})
    assert refused(yard, files).message == "Node: nothing says how to start it"


# Whose fault


def test_a_tree_that_nothing_understands_is_told_what_to_add(yard: Yard, tmp_path: Path) -> None:
    error = refused(yard, plant(tmp_path / "src", {"README.md": "", "notes.txt": ""}))

    assert error.message == "Nothing here says how to run this app. The repository has only: README.md, notes.txt"
    assert "Gemfile" in (error.hint or "")


def test_without_a_start_command_the_push_says_what_to_add(yard: Yard, tmp_path: Path) -> None:
    error = refused(yard, plant(tmp_path / "src", {"package.json": '{"scripts": {}}'}))

    assert error.message == "Node: nothing says how to start it"
    assert "Procfile" in (error.hint or "")
    assert any('A "start" script in your package.json' in line for line in error.tail)


def test_a_procfile_with_only_a_worker_needs_no_start_of_its_own(yard: Yard, tmp_path: Path) -> None:
    files = plant(tmp_path / "src", {"package.json": "{}", "Procfile": "worker: node w.js\n"})

    assert analyse(yard, yard.request(files)).provider == "node"


def test_a_railpack_json_that_cannot_be_read_is_the_apps_fault(yard: Yard, tmp_path: Path) -> None:
    error = refused(yard, plant(tmp_path / "src", {"start.sh": "", "railpack.json": '{"steps": '}))

    assert error.message.startswith("Railpack: ")
    assert "railpack.json" in (error.hint or "")


def test_a_version_that_does_not_exist_is_the_apps_fault(yard: Yard, tmp_path: Path) -> None:
    error = refused(yard, plant(tmp_path / "src", {"main.py": "", ".python-version": "99"}))

    assert error.message == "There is no version 99 of python"


def test_versions_that_cannot_be_looked_up_are_asked_for_again_and_then_the_platforms_fault(
    yard: Yard, tmp_path: Path
) -> None:
    with pytest.raises(Hiccup) as caught:
        analyse(yard, yard.request(plant(tmp_path / "src", {"gleam.toml": ""})))

    assert "could not be looked up" in caught.value.message
    assert yard.lines.text.count("Trying again") == 2
    assert "look at the server's network" in (caught.value.hint or "")


def test_a_mise_that_cannot_be_started_is_the_platforms_fault(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "tools/mise").write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0; exit 75\n')

    with pytest.raises(ToolFailed):
        analyse(yard, yard.request(plant(tmp_path / "src", {"main.py": ""})))


def test_a_railpack_that_asks_to_try_again_is_tried_again(yard: Yard, tmp_path: Path) -> None:
    tool = tmp_path / "tools/railpack"
    tool.unlink()
    tool.write_text(TIRED)
    tool.chmod(0o755)

    with pytest.raises(Hiccup, match="asks to try again later: not now"):
        analyse(yard, yard.request(plant(tmp_path / "src", {"main.py": ""})))

    assert yard.lines.text.count("Trying again") == 2


def test_mise_is_told_the_way_to_the_network(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "tools/mise").write_text('#!/bin/sh\necho "1.2.3+$HTTPS_PROXY+$SSL_CERT_FILE+$TOKEN"\n')
    network = {"HTTPS_PROXY": "http://it's:3128", "SSL_CERT_FILE": "/etc/ssl/company.pem", "TOKEN": Secret("hush")}
    request = replace(yard.request(plant(tmp_path / "src", {"main.py": ""})), env=network)

    analysis = analyse(yard, request)

    assert analysis.packages["python"].version == "1.2.3+http://it's:3128+/etc/ssl/company.pem+"
    assert analysis.secrets == ("HTTPS_PROXY", "TOKEN")


# A tree that means harm


def test_what_the_tree_has_mise_run_sees_nothing_of_the_server_and_cannot_change_the_tree(
    yard: Yard, tmp_path: Path
) -> None:
    """mise's configuration may name programs to run: here the stand-in runs the tree's own, and tells what it said."""
    (tmp_path / "home/secret").write_text("the-key")
    script = f"#!/bin/sh\nid -u; cat {tmp_path}/home/secret; echo changed > /app/main.py; cat /app/main.py\n"
    files = plant(tmp_path / "src", {"main.py": "", "evil": script})
    (files / "evil").chmod(0o755)
    mise = '#!/bin/sh\necho "1.2.3+$(/app/evil 2>&1 | tr -c "[:alnum:]" -)"\n'
    (tmp_path / "tools/mise").write_text(mise)
    request = yard.request(files)

    said = analyse(yard, request).packages["python"].version

    assert said.startswith(f"1.2.3+{railpacks.UID}-")
    assert said.endswith("-changed-")
    assert "the-key" not in said
    assert (request.tree / "main.py").read_text() == ""


def test_an_answer_that_is_a_link_out_of_its_room_is_not_read(yard: Yard, tmp_path: Path) -> None:
    tool = tmp_path / "tools/railpack"
    tool.unlink()
    tool.write_text('#!/bin/sh\n[ "$1" = --version ] || ln -s /etc/passwd /tmp/gitpaas/answer/analysis.json\n')
    tool.chmod(0o755)

    with pytest.raises((BuildFailed, ToolFailed)) as caught:
        analyse(yard, yard.request(plant(tmp_path / "src", {"main.py": ""})))

    assert "root:" not in caught.value.message


def test_nothing_of_an_attempt_is_left_nor_of_a_killed_one_before(yard: Yard, tmp_path: Path) -> None:
    plant(yard.config.run / "railpack-hello.analysis/mise", {"lock-python": ""})

    analyse(yard, yard.request(plant(tmp_path / "src", {"start.sh": ""})))

    assert list(yard.config.run.iterdir()) == []
