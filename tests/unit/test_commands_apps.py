"""apps, open, ps: what is there and what runs of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from callers import Answer, Caller

from gitpaas import deploy, receive
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.store import App
from gitpaas.values import Instance


def instance(app: str, process: str = "web", number: int = 1, **more: Any) -> Instance:
    fields: dict[str, Any] = {"release": 3, "state": "running", "address": None, "started_at": time.time() - 200}
    return Instance(id=f"{app}-{process}-{number}", app=app, process=process, number=number, **(fields | more))


def with_release(caller: Caller, name: str, **fields: Any) -> None:
    with caller.platform.store.session():
        App.update(release=3, **fields).where(App.name == name).execute()


def test_without_apps_the_list_says_how_to_make_one(reader: Caller) -> None:
    assert reader("apps").out == "No apps yet. A push makes one: git push paas:NAME main\n"
    assert reader("apps", "--format", "json").json == []


def test_the_list_shows_state_release_and_url(operator: Caller, reader: Caller) -> None:
    for name in ("hello", "other", "third"):
        operator("apps:create", name)
    with_release(operator, "hello")
    with_release(operator, "third", stopped=True)
    operator.platform.runtime.instances += [instance("hello"), instance("hello", number=2), instance("hello", "worker")]
    operator.platform.runtime.instances += [instance("hello", release=2)]  # drains

    assert reader("apps").out == (
        "APP    STATE    RELEASE  RUNNING         URL\n"
        "hello  running  v3       web=2 worker=1  http://hello.localhost:8080\n"
        "other  empty    -        -               http://other.localhost:8080\n"
        "third  stopped  v3       -               http://third.localhost:8080\n"
    )


@pytest.mark.parametrize(
    ("fields", "instances", "state"),
    [
        ({}, [instance("hello")], "running"),
        ({}, [instance("hello", state="exited", exit_code=1)], "crashed"),
        ({}, [], "idle"),
        ({"maintenance": True}, [instance("hello")], "maintenance"),
        ({"stopped": True}, [], "stopped"),
    ],
)
def test_states(operator: Caller, fields: dict[str, Any], instances: list[Instance], state: str) -> None:
    operator("apps:create", "hello")
    with_release(operator, "hello", **fields)
    operator.platform.runtime.instances += instances

    assert operator("apps:info", "hello", "--format", "json").json["state"] == state


def test_an_app_as_json(admin: Caller) -> None:
    admin("apps:create", "hello")

    shown = admin("apps:info", "hello", "--format=json").json
    assert shown.pop("created_at").endswith("Z")
    assert shown == {
        "name": "hello",
        "url": "http://hello.localhost:8080",
        "domains": [],
        "state": "empty",
        "release": None,
        "running": {},
        "maintenance": False,
        "deploy_branch": None,
        "build_options": {},
        "run_options": {},
        "created_by": "alice",
    }


def test_info_in_words(admin: Caller) -> None:
    admin("apps:create", "hello")

    assert admin("apps:info", "hello").out.splitlines()[:3] == [
        "App         hello",
        "URL         http://hello.localhost:8080",
        "State       empty",
    ]


@pytest.mark.parametrize("name", ["Hello", "-x", "a" * 64, "..", "a/b", "ä", "", "a.b"])
def test_a_name_that_is_no_host_name_is_refused(operator: Caller, name: str) -> None:
    assert operator("apps:create", "--", name).code == 2
    assert operator("apps", "--format", "json").json == []


def test_a_name_is_taken_once(operator: Caller) -> None:
    operator("apps:create", "hello")

    assert operator("apps:create", "hello").code == 1


def test_destroy_wants_the_name_again(admin: Caller) -> None:
    admin("apps:create", "hello")

    for argv in (["hello"], ["hello", "--confirm", "other"]):
        answer = admin("apps:destroy", *argv)
        assert answer.code == 2
        assert "ssh paas apps:destroy hello --confirm hello" in answer.err
    assert admin("apps:destroy", "hello", "--confirm", "hello") == Answer(0, "hello is gone.\n", "")
    assert admin("apps:info", "hello").code == 1
    assert not admin.platform.config.repository("hello").exists()


def test_open_as_json(reader: Caller, operator: Caller) -> None:
    operator("apps:create", "hello")

    assert reader("open", "hello", "--format", "json").json == {"url": "http://hello.localhost:8080"}


def test_open_starts_a_browser_only_where_somebody_sits(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    operator("apps:create", "hello")
    operator.tty = True

    operator("open", "hello")
    assert opened == []
    operator.platform.config.environ["DISPLAY"] = ":0"  # type: ignore[index]
    operator.over_ssh("admin")("open", "hello")
    assert opened == []
    operator("open", "hello")
    assert opened == ["http://hello.localhost:8080"]


def test_containers_that_cannot_be_seen_are_not_called_idle(operator: Caller) -> None:
    operator("apps:create", "hello")
    with_release(operator, "hello")
    operator.platform.runtime.unseen = frozenset({"image"})

    assert operator("apps").out.startswith(
        "Docker Engine does not answer: what runs in containers cannot be seen now.\n"
    )
    assert operator("apps", "--format", "json").json[0]["state"] == "unknown"


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The flow's functions note what they were asked and print a step."""
    asked: list[tuple[Any, ...]] = []

    def note(name: str) -> Any:
        def function(platform: Platform, app: App, *given: Any, **named: Any) -> int:
            plain = [value for value in given if not isinstance(value, Output)]
            asked.append((name, app.name, *plain, *named.values()))
            for out in (value for value in given if isinstance(value, Output)):
                out.step(f"{name} under way")
            return 0

        return function

    for name in ("restart", "scale", "stop", "start", "maintenance"):
        monkeypatch.setattr(deploy, name, note(name))
    monkeypatch.setattr(receive, "rebuild", note("rebuild"))
    return asked


def test_changes_reach_the_flow_and_show_its_steps(deployer: Caller, flow: list[tuple[Any, ...]]) -> None:
    deployer("apps:create", "hello")

    assert deployer("ps:restart", "hello", "web").out == "-----> restart under way\nhello: web restarted.\n"
    deployer("ps:restart", "hello")
    deployer("ps:scale", "hello", "web=2", "worker=0")
    deployer("ps:stop", "hello")
    deployer("ps:stop", "hello", "worker")
    deployer("ps:start", "hello")
    deployer("ps:start", "hello", "web.2")
    deployer("ps:rebuild", "hello")
    deployer("maintenance:on", "hello")
    assert deployer("maintenance:off", "hello").out == "hello answers itself again: http://hello.localhost:8080\n"
    assert flow == [
        ("restart", "hello", "web"),
        ("restart", "hello", None),
        ("scale", "hello", {"web": 2, "worker": 0}),
        ("stop", "hello", None),
        ("stop", "hello", "worker"),
        ("start", "hello", None),
        ("start", "hello", "web.2"),
        ("rebuild", "hello", deployer.actor),
        ("maintenance", "hello", True),
        ("maintenance", "hello", False),
    ]


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
@pytest.mark.parametrize("name", ["../x", "web.", "web.0", "web.x", "web.1.2", ".1", "web.99999", "web\n"])
def test_a_name_that_can_be_none(deployer: Caller, verb: str, name: str, flow: list[tuple[Any, ...]]) -> None:
    deployer("apps:create", "hello")

    assert deployer(f"ps:{verb}", "hello", name).code == 2
    assert flow == []


def test_a_scale_without_values_is_a_look(deployer: Caller, flow: list[tuple[Any, ...]]) -> None:
    deployer("apps:create", "hello")

    assert deployer("ps:scale", "hello").out == "no release yet\n"
    assert flow == []
    assert "ps:scale" not in deployer("events", "hello").out


@pytest.mark.parametrize("text", ["web", "web=", "web=two", "web=-1", "web=101", "=1", "../x=1", "web=1=2"])
def test_a_scale_that_cannot_be_meant(deployer: Caller, text: str, flow: list[tuple[Any, ...]]) -> None:
    deployer("apps:create", "hello")

    assert deployer("ps:scale", "hello", text).code == 2
    assert flow == []


def test_a_failed_rebuild_fails_the_command(deployer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    deployer("apps:create", "hello")
    monkeypatch.setattr(receive, "rebuild", lambda *_: 12)

    assert deployer("ps:rebuild", "hello").code == 1
