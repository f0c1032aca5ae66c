"""Every command with every role, through the real dispatch; README shows the same table (test_readme compares)."""

from __future__ import annotations

import matrix
import pytest
from callers import Answer, Caller

from gitpaas.commands import every
from gitpaas.commands.base import Command
from gitpaas.store import App
from gitpaas.values import ROLES, Role

LOCAL = [one for one in every.COMMANDS if one.local]
OVER_SSH = [one for one in every.COMMANDS if not one.local]
OF_ONE_APP = [one for one in OVER_SSH if one.scope != "all" and any(param.name == "app" for param in one.params)]


@pytest.mark.parametrize("column", matrix.COLUMNS, ids=lambda column: column.title)
@pytest.mark.parametrize("one", OVER_SSH, ids=lambda one: one.name)
def test_each_command_asks_for_its_role(operator: Caller, one: Command, column: matrix.Column) -> None:
    for args in matrix.calls(one):
        names_app = matrix.APP in args and one.scope != "all"
        has: list[Role | None] = [column.role, column.grants.get(matrix.APP) if names_app else None]
        may = any(role and ROLES.index(role) <= ROLES.index(one.role) for role in has)

        seen_by_all = one.scope == "seen" and not names_app
        assert matrix.is_let(operator.platform, one, args, column.actor) is (may or seen_by_all), args


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("one", LOCAL, ids=lambda one: one.name)
def test_what_is_for_the_machine_itself_is_refused_to_all(operator: Caller, one: Command, role: Role) -> None:
    answer = operator.over_ssh(role)(str(one.name))

    assert answer.code == 3
    assert answer.err.startswith(f" !     {one.name} works on the machine itself only.")


@pytest.mark.parametrize("one", OF_ONE_APP, ids=lambda one: one.name)
def test_of_other_apps_nobody_learns_whether_they_are_there(operator: Caller, one: Command) -> None:
    operator("apps:create", "hello")
    operator("apps:create", "there")
    scoped = operator.over_ssh(None, hello="admin")

    def told(app: str) -> Answer:
        answer = scoped(str(one.name), *next(matrix.calls(one, app)))
        return Answer(answer.code, answer.out, answer.err.replace(app, "APP"))

    assert told("there") == told("never")
    assert told("there").code == 3


def test_what_lists_apps_lists_those_one_may_see(operator: Caller) -> None:
    for name in ("hello", "there"):
        operator("apps:create", name)
        operator("maintenance:on", name)
    scoped, nobody = operator.over_ssh(None, hello="read"), operator.over_ssh(None)

    for listing in ("apps", "events", "access", "disk", "domains"):
        assert "there" not in scoped(listing).out, listing
        assert "hello" not in nobody(listing).out, listing
    for listing in ("apps", "events", "domains"):
        assert "there" in operator.over_ssh("read")(listing).out
        assert "hello" in scoped(listing).out
    assert "hello" in scoped().out
    assert "there" not in scoped().out


def test_who_has_no_role_at_all_may_still_ask_what_there_is(operator: Caller) -> None:
    nobody = operator.over_ssh(None)

    assert nobody("apps").out == "No apps that you may see.\n"
    assert nobody("help").out.split("\n\n")[1].split() != []
    assert "config:set" not in nobody("help").out
    assert "config:set" in operator.over_ssh(None, hello="deploy")("help").out
    assert "apps:create" not in operator.over_ssh(None, hello="admin")("help").out


def test_names_are_suggested_from_what_one_may_see(operator: Caller) -> None:
    for name in ("hello", "help"):
        operator("apps:create", name)

    answer = operator.over_ssh(None, help="read")("logs", "hell")
    assert answer.err.splitlines() == [
        " !     There is no app 'hell' that your key may see.",
        " !     Did you mean help?",
        " !     An admin of it can give access: access:add APP alice --role read",
    ]


def test_a_value_in_the_place_of_the_app_is_not_repeated(operator: Caller) -> None:
    answer = operator.over_ssh(None, hello="deploy")("config:set", "TOKEN=s3cret", "B=x")

    assert answer.code == 3
    assert "s3cret" not in answer.err + operator("events").out


def test_the_best_of_all_roles_counts(operator: Caller) -> None:
    operator("apps:create", "hello")

    assert operator.over_ssh("read", hello="deploy")("config:set", "hello", "A=1").code == 0
    assert operator.over_ssh("deploy", hello="read")("config:set", "hello", "A=1").code == 0
    assert operator.over_ssh("read", there="deploy")("config:set", "hello", "A=1").code == 3


def test_arguments_of_builds_are_for_those_who_may_deploy(operator: Caller) -> None:
    operator("apps:create", "hello")
    with operator.platform.store.session():
        App.update(build_options='{"args": {"TOKEN": "s3cret"}}').execute()

    for style in ("text", "json"):
        assert "s3cret" not in operator.over_ssh("read")("apps:info", "hello", "--format", style).out
        assert "arg:TOKEN" in operator.over_ssh("read")("apps:info", "hello", "--format", style).out
        assert "s3cret" in operator.over_ssh("deploy")("apps:info", "hello", "--format", style).out
    assert "s3cret" not in operator.over_ssh("read")("apps", "--format", "json").out
