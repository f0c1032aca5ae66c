"""events: every change is kept, with who made it and how it ended; never a value that is nobody's business."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from callers import Caller
from instances import until

from gitpaas import commands, deploy, events
from gitpaas.commands import every
from gitpaas.errors import Conflict
from gitpaas.platform import Platform
from gitpaas.store import Event

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
NOT_CHANGES = {"serve", "service", "receive", "init"}  # neither lists nor changes of what people have here


def told(caller: Caller, *argv: str) -> list[tuple[str, str | None, str, str]]:
    shown = caller("events", "--format", "json", *argv).json
    return [(event["action"], event["app"], event["result"], event["text"]) for event in shown]


@pytest.mark.parametrize("one", every.COMMANDS, ids=lambda one: one.name)
def test_what_neither_shows_nor_changes_is_known(one: commands.Command) -> None:
    shows = any("--format" in param.opts for param in one.params)

    assert shows or one.changes or one.name in NOT_CHANGES


def test_changes_are_kept_and_looks_are_not(admin: Caller) -> None:
    admin("apps:create", "hello")
    for look in (("apps",), ("config", "hello"), ("ps", "hello"), ("apps:create", "--help"), ("help",)):
        admin(*look)
    admin("apps", "destroy", "--confirm", "hello", "-a", "hello")

    assert told(admin) == [("apps:create", "hello", "ok", ""), ("apps:destroy", "hello", "ok", "")]
    with admin.platform.store.session():
        event = Event.get()
        assert (event.by, event.key, event.address) == ("alice", "laptop", "192.0.2.7")


@pytest.mark.parametrize(
    "argv",
    [
        ("storage:destroy", "hello", "data"),
        ("storage:destroy", "--confirm", "data", "hello", "data"),
        ("storage", "destroy", "data", "--confirm=data", "-ahello"),
        ("config:unset", "A", "B", "--app", "hello"),
    ],
)
def test_the_app_is_told_wherever_it_was_typed(reader: Caller, argv: tuple[str, ...]) -> None:
    reader.over_ssh("admin")("apps:create", "hello")
    assert reader(*argv).code == 3

    assert told(reader)[-1][1:3] == ("hello", "refused")
    assert told(reader, "-a", "hello") == told(reader)


def test_what_is_no_name_of_an_app_is_not_kept_as_one(admin: Caller) -> None:
    admin("ps:stop", "../\x1b[31m")

    assert [app for _, app, *_ in told(admin)] == [None]


def test_config_vars_are_told_by_name_only(deployer: Caller) -> None:
    deployer("apps:create", "hello")
    deployer("config:set", "hello", "TOKEN=s3cret", "B=x")
    deployer("config:set", "hello", "TOKEN=abc", "lost quotes")
    deployer("config:unset", "hello", "B")

    assert told(deployer)[1:] == [("config:set", "hello", "ok", "TOKEN, B"), ("config:unset", "hello", "ok", "B")]
    assert "s3cret" not in deployer("events").out


def test_keys_are_told_by_name_and_fingerprint_to_admins(operator: Caller, reader: Caller) -> None:
    operator("keys:add", "laptop", stdin=ED25519.encode())
    operator("keys:remove", "laptop")
    operator("keys:remove", "nobody")

    first, second, third = told(operator)
    assert first[:3] == ("keys:add", None, "ok")
    assert first[3].startswith("laptop as admin, SHA256:")
    assert (second[2], second[3].split(": ")[1]) == ("failed", "laptop is the last admin key")
    assert third[3] == "nobody: There is no key 'nobody'."
    assert told(reader) == []


def test_how_it_ended(admin: Caller, reader: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Conflict("Somebody else was first.")

    admin("apps:create", "hello")
    monkeypatch.setattr(deploy, "restart", refuse)
    monkeypatch.setattr("gitpaas.receive.rebuild", lambda *_: 12)
    admin("ps:restart", "hello", "web")
    admin("ps:rebuild", "hello")
    admin("ps:scale", "hello", "nonsense")  # typed wrong: nothing was asked for
    reader("ps:stop", "hello")

    assert told(reader)[1:] == [
        ("ps:restart", "hello", "failed", "web: Somebody else was first."),
        ("ps:rebuild", "hello", "failed", ""),
        ("ps:stop", "hello", "refused", "ps:stop needs the role deploy for hello; you have read."),
    ]


def test_a_line_says_who_from_where(operator: Caller, deployer: Caller) -> None:
    deployer("apps:create", "hello")
    operator("config:set", "hello", "A=1")

    first, second = operator("events").out.splitlines()
    assert first.split(" ", 1)[1] == "alice(laptop)@192.0.2.7 apps:create hello ok"
    assert second.split(" ", 1)[1] == "operator@local config:set hello ok: A"


def test_of_one_app_the_last_few_since(operator: Caller, reader: Caller) -> None:
    for name in ("one", "two"):
        operator("apps:create", name)
    with operator.platform.store.session():
        Event.update(at=time.time() - 7200).where(Event.app == "one").execute()

    assert [app for _, app, *_ in told(reader, "one")] == ["one"]
    assert [app for _, app, *_ in told(reader, "-n", "1")] == ["two"]
    assert [app for _, app, *_ in told(reader, "--since", "1h")] == ["two"]
    assert [app for _, app, *_ in told(reader, "--since", "2020-01-31T12:00Z")] == ["one", "two"]
    assert reader("events", "--since", "yesterday").code == 2
    assert reader("events", "three").err.startswith(" !     There is no app 'three'.")


def test_all_of_a_stretch_of_time_is_exported(operator: Caller) -> None:
    with operator.platform.store.session():
        for number in range(120):
            Event.create(
                action="deploy", text=str(number), app="hello", by="alice", at=time.time() - number * 3600 - 60
            )

    assert len(told(operator)) == 50
    assert len(told(operator, "--since", "90d")) == 120
    assert [text for *_, text in told(operator, "--since", "3h", "--until", "1h")] == ["1", "2"]
    assert len(told(operator, "--until", "1h", "-n", "7")) == 7
    assert told(operator, "--since", "2h", "--until", "3h") == []
    assert operator("events", "-t", "--until", "1h").code == 2


def test_what_an_app_did_is_known_when_it_is_gone(admin: Caller, reader: Caller) -> None:
    admin("apps:create", "hello")
    admin("apps:destroy", "hello", "--confirm", "hello")

    assert [action for action, *_ in told(admin, "hello")] == ["apps:create", "apps:destroy"]
    assert reader("events", "hello").code == 1


def test_following(operator: Caller) -> None:
    operator("apps:create", "hello")
    follower = replace(operator)
    thread = threading.Thread(target=lambda: follower("events", "-t", "-n", "1"))
    thread.start()
    until(lambda: "apps:create" in "".join(follower.shown))
    operator("maintenance:on", "hello")
    until(lambda: "maintenance:on" in "".join(follower.shown))
    follower.gone.set()
    thread.join()

    assert [line.split(" ", 1)[1] for line in "".join(follower.shown).splitlines()] == [
        "operator@local apps:create hello ok",
        "operator@local maintenance:on hello ok",
    ]


def test_control_characters_do_not_reach_the_terminal(operator: Caller) -> None:
    with operator.platform.store.session():
        events.record("deploy", "\x1b[31mred", app="hello")

    assert "\x1b" not in operator("events").out


def test_a_reader_who_left_does_not_make_it_a_failure(admin: Caller) -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError

    from gitpaas.output import Console

    console = Console(closed, closed, lambda: b"", lambda: True)
    assert commands.execute(admin.platform, ["apps:create", "hello"], admin.actor, console) == 141
    assert told(admin) == [("apps:create", "hello", "ok", "")]


def test_a_database_that_is_not_there_is_not_made_for_an_event(
    operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform: Platform = operator.platform
    platform.config.database.unlink()
    monkeypatch.setattr("gitpaas.daemon.stop", lambda *_, **__: False)

    assert operator("stop").code == 0
    assert not platform.config.database.exists()
