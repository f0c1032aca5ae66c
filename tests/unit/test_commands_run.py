"""run and ps: one-off commands as people start, see and end them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from callers import Caller

from gitpaas.store import App, OneOff, Release
from gitpaas.values import Artifact, Instance, InstanceSpec


@pytest.fixture
def started(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> list[InstanceSpec]:
    """What was started. There is an app `hello` with a release."""
    specs: list[InstanceSpec] = []

    def start(spec: InstanceSpec) -> Instance:
        specs.append(spec)
        made = Instance("id", spec.app, spec.release, spec.process, spec.number, "running", None, 1.0)
        operator.platform.runtime.instances.append(replace(made, id=f"id-{spec.number}", one_off=spec.one_off))
        return made

    operator("apps:create", "hello")
    made = Artifact("slug", "/slug", "slug", "", {"web": "./serve", "worker": "./work"})
    with operator.platform.store.session():
        app = App.get(App.name == "hello")
        config = operator.platform.store.seal.close('{"A": "1"}')
        Release.create(app=app, number=3, description="", artifact=json.dumps(asdict(made)), config=config, by="alice")
        App.update(release=3).execute()
    monkeypatch.setattr(operator.platform.runtime, "start", start)
    return specs


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (("hello", "ls", "-l", "-a"), "ls -l -a"),
        (("hello", "--", "ls", "-l", "-a"), "ls -l -a"),
        (("hello", "--env", "B=2", "ls", "--env", "x=y"), "ls --env x=y"),
        (("-e", "B=2", "hello", "ls", "--", "-e"), "ls -- -e"),
        (("-a", "hello", "ls", "--help"), "ls --help"),
        (("--app=hello", "ls", "-a"), "ls -a"),
        (("hello", "ls | wc -l"), "ls | wc -l"),
        (("hello", "--", "-x"), "-x"),
        (("hello", "python", "-c", "print(1)"), "python -c 'print(1)'"),
    ],
)
def test_what_follows_the_app_is_the_commands_own(
    deployer: Caller, started: list[InstanceSpec], argv: tuple[str, ...], command: str
) -> None:
    assert deployer("run:detached", *argv).code == 0
    assert [spec.command for spec in started] == [command]


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e400", "0", "-5", "1e9", "100000000", "5m", ""])
@pytest.mark.parametrize("command", ["run", "run:detached"])
def test_time_that_is_none_starts_nothing(
    deployer: Caller, started: list[InstanceSpec], command: str, seconds: str
) -> None:
    answer = deployer(command, "hello", "--timeout", seconds, "--", "true")

    assert (answer.code, started) == (2, [])
    assert f"{seconds!r} is not a number of seconds above 0." in answer.err


def test_detached_command_is_told_how_to_be_followed(deployer: Caller, started: list[InstanceSpec]) -> None:
    answer = deployer("run:detached", "hello", "-e", "B=2", "-e", "A=3", "--", "./import", "--all")
    assert answer.out == (
        "run.1 of hello is running.\n"
        "What it says: ssh paas logs hello -t -p run.1\n"
        "To end it: ssh paas run:stop hello run.1\n"
    )
    (spec,) = started
    assert (spec.release, spec.process, spec.number, spec.listens, spec.one_off) == (3, "run", 1, False, 1)
    assert {name: str(value.reveal()) for name, value in spec.env.items()} == {"A": "3", "B": "2"}  # type: ignore[union-attr]


@pytest.mark.parametrize("argv", [("hello", "ls", "--help"), ("-a", "hello", "ls", "-h"), ("hello", "--", "--help")])
def test_help_of_another_program_opens_no_door(
    reader: Caller, started: list[InstanceSpec], argv: tuple[str, ...]
) -> None:
    assert reader("run:detached", *argv).code == 3
    assert started == []


def test_events_hold_the_program_and_no_argument(admin: Caller, started: list[InstanceSpec]) -> None:
    admin("run:detached", "hello", "--", "./import", "--key=s3cret")
    (event,) = admin("events", "hello", "-n", "1", "--format", "json").json
    assert (event["action"], event["text"], event["result"]) == ("run:detached", "run.1 ./import", "ok")


def test_ps_lists_them_apart_and_shows_arguments_to_those_who_may_see_config_vars(
    deployer: Caller, reader: Caller, started: list[InstanceSpec]
) -> None:
    deployer("run:detached", "hello", "--", "./import", "--key=s3cret")
    text = deployer("ps", "hello").out
    assert "run.1  running  v3       alice  just now  ./import --key=s3cret\n" in text
    assert "web.1  missing" in text
    assert "s3cret" not in reader("ps", "hello").out
    shown: dict[str, Any] = reader("ps", "hello", "--format", "json").json
    assert shown["instances"] == []
    (one,) = shown["one_offs"]
    assert one.pop("started_at").endswith("Z")
    assert one == {
        "name": "run.1",
        "state": "running",
        "release": 3,
        "command": "./import",
        "schedule": None,
        "by": "alice",
    }
    assert reader("apps:info", "hello", "--format", "json").json["running"] == {}


def test_one_is_ended_by_its_name(deployer: Caller, started: list[InstanceSpec]) -> None:
    deployer("run:detached", "hello", "sleep", "60")
    deployer("run:detached", "hello", "sleep", "61")
    assert deployer("run:stop", "hello", "run.2").out == "run.2 of hello is stopped.\n"
    assert [instance.id for instance in deployer.platform.runtime.stopped] == ["id-2"]
    assert deployer("ps:stop", "hello", "run.1").out == "run.1 of hello is stopped.\n"
    deployer("run:detached", "hello", "sleep", "62")
    refused = deployer("run:stop", "hello", "run.2")
    assert (refused.code, "These do: run.3." in refused.err) == (1, True)
    with deployer.platform.store.session():
        assert [one.error for one in OneOff.select()] == ["stopped by alice", "stopped by alice", ""]


@pytest.mark.parametrize("variable", ["A", "1A=2", "A-B=c"])
def test_variables_are_checked(deployer: Caller, started: list[InstanceSpec], variable: str) -> None:
    assert deployer("run:detached", "hello", "-e", variable, "ls").code == 2
    assert started == []
