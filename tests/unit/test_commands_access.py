"""access: what is granted to people besides the roles of their keys."""

from __future__ import annotations

import pytest
from callers import Answer, Caller
from test_commands_keys import fresh

from gitpaas.access import people
from gitpaas.store import Access, App, Key
from gitpaas.values import Actor


@pytest.fixture
def house(operator: Caller) -> Caller:
    """Two apps; root has the admin key, alice has two keys that may nothing of themselves, bob one that deploys."""
    operator("apps:create", "hello")
    operator("apps:create", "world")
    for name, person, role in (
        ("root", "root", "admin"),
        ("laptop", "alice", "none"),
        ("desktop", "alice", "none"),
        ("bob", "bob", "deploy"),
    ):
        assert operator("keys:add", name, "--person", person, "--role", role, stdin=fresh().encode()).code == 0
    return operator


def actor(caller: Caller, key: str) -> Actor:
    """As a login with this key makes it."""
    with caller.platform.store.session():
        return people.actor(Key.get(Key.name == key), "192.0.2.7")


def granted(caller: Caller, *argv: str) -> list[tuple[str | None, str, str]]:
    shown = caller("access", *argv, "--format", "json").json
    return [(one["app"], one["person"], one["role"]) for one in shown if one["granted"]]


def test_a_grant_counts_for_all_keys_of_a_person(house: Caller) -> None:
    assert house("access:add", "hello", "alice", "--role", "deploy") == Answer(
        0, "alice has the role deploy for hello.\n", ""
    )

    for key in ("laptop", "desktop"):
        assert actor(house, key) == Actor("alice", None, key, "192.0.2.7", {"hello": "deploy"})
    assert actor(house, "bob").role_on("hello") == "deploy"
    assert actor(house, "bob").grants == {}


def test_the_best_of_key_grant_for_all_and_grant_for_the_app_counts(house: Caller) -> None:
    house("access:add", "--all", "alice", "--role", "read")
    house("access:add", "hello", "alice", "--role", "admin")
    house("access:add", "hello", "bob", "--role", "read")

    assert actor(house, "laptop").role == "read"
    assert actor(house, "laptop").role_on("hello") == "admin"
    assert actor(house, "laptop").role_on("world") == "read"
    assert actor(house, "bob").role_on("hello") == "deploy"


def test_the_name_of_a_key_is_taken_for_its_person(house: Caller) -> None:
    assert house("access:add", "hello", "laptop", "--role", "read").out == "alice has the role read for hello.\n"
    assert house("access:remove", "hello", "desktop").out == "alice has nothing more granted for hello.\n"


def test_a_second_grant_takes_the_place_of_the_first(house: Caller) -> None:
    house("access:add", "hello", "alice", "--role", "admin")
    house("access:add", "-a", "hello", "alice", "--role", "read")

    assert granted(house) == [("hello", "alice", "read")]


def test_what_cannot_be_granted_is_said(house: Caller) -> None:
    nobody = house("access:add", "hello", "carol", "--role", "read")
    assert nobody.err.splitlines() == [
        " !     There is nobody named 'carol'.",
        " !     An admin lets people in: keys:add carol FILE",
    ]
    assert house("access:add", "never", "alice", "--role", "read").code == 1
    assert house("access:add", "hello", "alice").code == 2
    assert house("access:add", "hello", "alice", "--role", "none").code == 2
    assert house("access:add", "hello", "--all", "alice", "--role", "read").code == 2
    assert house("access:remove", "hello", "alice").err == (
        " !     Nothing was granted to alice for hello.\n !     List it: gitpaas access\n"
    )


def test_taking_back_says_what_is_left(house: Caller) -> None:
    house("access:add", "hello", "bob", "--role", "admin")

    taken = house("access:remove", "hello", "bob")
    assert taken.out == "bob has nothing more granted for hello. Still deploy for all apps (key bob).\n"


def test_the_list(house: Caller) -> None:
    house("access:add", "hello", "alice", "--role", "deploy")

    lines = [line.split() for line in house("access").out.splitlines()]
    assert lines == [
        ["APP", "PERSON", "ROLE", "WHY"],
        ["(all)", "bob", "deploy", "key", "bob"],
        ["(all)", "root", "admin", "key", "root"],
        ["hello", "alice", "deploy", "granted", "by", "operator", "just", "now"],
    ]
    assert [line.split()[0] for line in house("access", "world").out.splitlines()] == ["APP", "(all)", "(all)"]
    assert house("access", "hello").out.splitlines()[3].startswith("hello")
    assert house("access", "never").code == 1


def test_the_admin_of_an_app_lets_others_in_and_may_destroy_it(house: Caller) -> None:
    house("access:add", "hello", "alice", "--role", "admin")
    alice = house.over_ssh(None, hello="admin")

    assert alice("access:add", "hello", "bob", "--role", "admin").code == 0
    assert alice("access:add", "--all", "alice", "--role", "admin").code == 3
    assert alice("access:add", "world", "alice", "--role", "admin").code == 3
    assert alice("apps:destroy", "world", "--confirm", "world").code == 3
    assert alice("apps:destroy", "hello", "--confirm", "hello").code == 0
    with house.platform.store.session():
        assert not Access.select().exists()  # with the app
        assert App.get().name == "world"


def test_an_admin_by_grant_is_an_admin_and_the_last_one_stays(house: Caller) -> None:
    house("access:add", "--all", "alice", "--role", "admin")

    assert house("keys:remove", "root").code == 0
    assert house("access:remove", "--all", "alice").err.startswith(" !     A key of alice is the last admin key:")
    assert house("access:add", "--all", "alice", "--role", "deploy").code == 1
    assert house("keys:remove", "laptop").code == 0
    assert house("keys:remove", "desktop").err.startswith(" !     desktop is the last admin key:")
    assert granted(house) == [(None, "alice", "admin")]


def test_what_was_granted_goes_with_the_last_key_of_a_person(house: Caller) -> None:
    house("access:add", "hello", "alice", "--role", "admin")

    assert house("keys:remove", "laptop").out == "laptop may not log in any more.\n"
    assert house("keys:remove", "desktop").out.splitlines()[1] == (
        "It was the last key of alice, so what was granted has gone too: hello."
    )
    house("keys:add", "new", "--person", "alice", "--role", "none", stdin=fresh().encode())
    assert actor(house, "new").grants == {}


def test_another_name_for_a_person_keeps_what_was_granted(house: Caller) -> None:
    house("access:add", "hello", "bob", "--role", "admin")
    house("keys:set", "bob", "--person", "robert")
    assert actor(house, "bob").grants == {"hello": "admin"}

    handed_over = house("keys:set", "bob", "--person", "alice")
    assert handed_over.out.splitlines()[1] == "It was the last key of robert, so what was granted has gone too: hello."
    assert actor(house, "bob").grants == {}


def test_events_say_what_was_granted_to_whom(house: Caller) -> None:
    house("access:add", "hello", "laptop", "--role", "deploy")
    house("access:remove", "hello", "alice")

    lines = [line.split(" ", 1)[1] for line in house("events", "hello").out.splitlines()]
    assert lines[-2:] == [
        "operator@local access:add hello ok: alice as deploy",
        "operator@local access:remove hello ok: alice",
    ]
