"""Finding a command, asking for the role it needs, and telling what went wrong."""

from __future__ import annotations

import threading

import click
import pytest
from callers import Answer, Caller

from gitpaas import commands
from gitpaas.commands import every, near
from gitpaas.commands.base import Command, command
from gitpaas.commands.call import Call
from gitpaas.config import Config
from gitpaas.logs import Collector, platform_line
from gitpaas.output import Console
from gitpaas.values import Actor, Survey

SECRET_FREE = {
    "apps", "apps:info", "config", "ps", "logs", "builds", "builds:info", "builds:output", "releases", "releases:info",
    "releases:output", "open", "checks",
    "events", "storage", "disk", "access", "resource", "top", "cron", "domains",
    "certificates", "certificates:root",
}  # fmt: skip
ADMINS_ONLY = {
    "apps:destroy", "storage:destroy", "keys", "keys:add", "keys:set", "keys:remove", "access:add", "access:remove",
    "toolchain", "toolchain:check",
    "registry", "registry:login", "registry:logout", "doctor", "disk:prune", "config:rekey",
}  # fmt: skip


def test_roles_are_as_narrow_as_meant() -> None:
    needed = {str(one.name): one.role for one in every.COMMANDS if not one.local}

    assert {name for name, role in needed.items() if role == "read"} == SECRET_FREE | {"version", "help"}
    assert {name for name, role in needed.items() if role == "admin"} == ADMINS_ONLY


@pytest.mark.parametrize("one", every.COMMANDS, ids=lambda one: one.name)
def test_each_command_explains_itself_through_the_console(
    operator: Caller, one: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = operator(*str(one.name).split(":"), "--help")

    assert answer.code == 0
    assert f"Usage: gitpaas {one.name}" in " ".join(answer.out.split())
    assert one.title.endswith((".", "2", ":"))
    assert len(str(one.title)) < 120
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("one", [one for one in every.COMMANDS if not one.local], ids=lambda one: one.name)
def test_usage_errors_reach_the_console_and_nothing_else(
    operator: Caller, one: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = operator(str(one.name), "--no-such-option")

    assert answer.code == 2
    assert answer.out == ""
    assert f"Usage: gitpaas {one.name}" in answer.err
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("one", every.COMMANDS, ids=lambda one: one.name)
def test_whatever_lists_or_shows_speaks_json(one: Command) -> None:
    speaks = any("--format" in param.opts for param in one.params)
    changes_things = {
        "create", "destroy", "set", "unset", "add", "remove", "restart", "scale", "stop", "start", "rebuild", "on",
        "off", "cancel", "rollback", "mount", "unmount", "login", "logout", "init", "serve", "service", "receive",
        "install", "run", "detached", "enter", "limit", "pin", "unpin", "rekey", "suspend", "resume",
    }  # fmt: skip

    assert speaks is (str(one.name).rpartition(":")[2] not in changes_things)


def test_a_space_works_as_well_as_the_colon(operator: Caller) -> None:
    assert operator("apps", "create", "one").code == operator("apps:create", "two").code == 0
    assert [app["name"] for app in operator("apps", "--format", "json").json] == ["one", "two"]


@pytest.mark.parametrize(
    "argv",
    [("-a", "hello"), ("-ahello",), ("--app", "hello"), ("--app=hello",), ("hello",), ("--format=text", "hello")],
)
def test_the_app_is_an_argument_or_an_option(operator: Caller, argv: tuple[str, ...]) -> None:
    operator("apps:create", "hello")

    assert operator("open", *argv) == Answer(0, "http://hello.localhost:8080\n", "")


def test_the_app_option_goes_with_other_arguments(operator: Caller) -> None:
    operator("apps:create", "hello")

    assert operator("config:set", "A=1", "-a", "hello", "B=-a").code == 0
    assert operator("config", "hello").out == "A=1\nB=-a\n"


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (("lgos", "hello"), "logs"),
        (("app",), "apps"),
        (("create", "x"), "apps:create"),
        (("apps:crate", "x"), "apps:create"),
        (("apps", "crate", "x"), "apps:create"),
        (("config", "sett", "hello", "A=b"), "config:set"),
        (("maintenence", "on", "hello"), "maintenance:on"),
        (("key", "add", "x"), "keys:add"),
        (("releasess", "hello"), "releases"),
        (("relases", "inf", "hello"), "releases:info"),
        (("confg", "st", "hello", "A=b"), "config:set"),
        (("config-set", "hello", "A=b"), "config:set"),
        (("key:add", "x"), "keys:add"),
        (("destroy", "x"), "apps:destroy"),
        (("info", "x"), "apps:info"),
        (("scale", "x", "web=2"), "ps:scale"),
        (("apps:delete", "x"), "apps:destroy"),
        (("config:list", "x"), "config"),
        (("config", "show", "x"), "config"),
        (("keys", "list"), "keys"),
        (("ps:exec", "x"), "enter"),
        (("env", "set", "x", "A=b"), "config:set"),
        (("logs:tail", "x"), "logs"),
        (("releases:rollback", "x"), "rollback"),
        (("maintenance", "of", "x"), "maintenance:off"),
        (("letsencrypt:enable", "x"), "certificates"),
        (("env:get", "x", "A"), "config:get"),
    ],
)
def test_a_wrong_name_suggests_the_near_one(operator: Caller, argv: tuple[str, ...], meant: str) -> None:
    answer = operator(*argv)

    assert answer.code == 2
    assert answer.err.endswith(f"Did you mean {meant}?\n")


def test_a_verb_like_none_of_its_noun_shows_which_there_are(operator: Caller) -> None:
    assert operator("apps:qqq", "x").err == (
        " !     There is no command 'apps:qqq'.\n !     apps has: apps:create, apps:info, apps:destroy\n"
    )


@pytest.mark.parametrize("argv", [("maintenance",), ("maintenance", "hello")])
def test_a_noun_that_does_nothing_by_itself_shows_its_verbs(operator: Caller, argv: tuple[str, ...]) -> None:
    assert operator(*argv).err == (
        " !     There is no command 'maintenance'.\n !     maintenance has: maintenance:on, maintenance:off\n"
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("apps", "--json"), ("apps", "--format", "json")),
        (("logs", "hello", "--json", "--num", "1"), ("logs", "hello", "--format", "json", "-n", "1")),
        (("logs", "hello", "--num=1"), ("logs", "hello", "--lines=1")),
        (("builds", "hello", "--num", "3"), ("builds", "hello", "-n", "3")),
    ],
)
def test_other_platforms_options_are_understood(
    operator: Caller, typed: tuple[str, ...], meant: tuple[str, ...]
) -> None:
    operator("apps:create", "hello")
    for text in ("one", "two"):
        platform_line(operator.platform.config, "hello", text)
    Collector(operator.platform.config, lambda: Survey(())).collect_once()

    assert operator(*typed) == operator(*meant)
    assert operator(*typed).code == 0


def test_follow_is_tail_where_there_is_one() -> None:
    assert near.in_our_words(["hello", "-f"], {"-t", "--tail"}) == ["hello", "--tail"]
    assert near.in_our_words(["hello", "--follow"], {"-t", "--tail"}) == ["hello", "--tail"]
    assert near.in_our_words(["hello", "-f", "x"], {"-f", "--tail"}) == ["hello", "-f", "x"]
    assert near.in_our_words(["hello", "--", "-f", "--json"], {"--tail", "--format"}) == ["hello", "--", "-f", "--json"]
    assert near.in_our_words(["hello", "--json"], {"--tail"}) == ["hello", "--json"]


@pytest.mark.parametrize("name", sorted(set(near._ELSEWHERE.values())))
def test_what_other_platforms_call_it_is_a_command_here(name: str) -> None:
    assert name in {one.name for one in every.COMMANDS}
    assert name not in near._ELSEWHERE


def test_what_is_the_servers_here_says_what_does_it_with_an_app(admin: Caller, operator: Caller) -> None:
    assert admin("restart", "hello") == Answer(
        3, "",
        " !     restart works on the machine itself only.\n"
        " !     There: gitpaas restart\n"
        " !     With an app: ssh paas ps:restart APP\n",
    )  # fmt: skip
    assert operator("stop", "hello").err.endswith(" !     With an app: gitpaas ps:stop APP\n")


def test_an_app_is_no_verb_that_was_mistyped(operator: Caller) -> None:
    operator("apps:create", "shop")

    assert "run:stop" not in operator("run", "shop").err


def test_a_name_like_no_other_points_to_help(operator: Caller) -> None:
    assert operator("qqqqqq").err == " !     There is no command 'qqqqqq'.\n !     List them: gitpaas help\n"


def test_a_wrong_option_suggests_the_near_one(operator: Caller) -> None:
    assert "--lines" in operator("logs", "hello", "--line", "3").err


def test_nothing_typed_over_ssh_shows_the_apps(admin: Caller) -> None:
    admin("apps:create", "hello")

    assert "http://hello.localhost:8080" in admin().out


def test_an_app_of_no_such_name(reader: Caller, operator: Caller) -> None:
    operator("apps:create", "hello")

    assert reader("logs", "helo") == Answer(1, "", " !     There is no app 'helo'.\n !     Did you mean hello?\n")


def test_help_lists_what_a_key_may_use(reader: Caller, admin: Caller, operator: Caller) -> None:
    assert "config:set" not in reader("help").out
    assert "keys:add" in admin("help").out
    assert "  serve  " not in admin("help").out
    assert "  serve  " in operator("help").out
    assert "receive" not in operator("help").out


def test_help_fits_the_terminal(operator: Caller) -> None:
    assert max(map(len, operator.narrow(60)("help").out.splitlines())) <= 110  # only the last, free line is longer
    listed = operator.narrow(60)("help").out.splitlines()[2:-2]
    assert max(map(len, listed)) <= 60
    assert "…" not in "".join(listed)


def test_help_of_one_command_and_of_a_noun(operator: Caller) -> None:
    assert operator("help", "apps", "create").out == operator("apps:create", "-h").out
    assert "config:set APP [NAME=VALUE...|NAME]" in operator("help", "config").out
    assert operator("help", "maintenance").out == "maintenance has:\n  maintenance:on APP\n  maintenance:off APP\n"
    assert operator("help", "nonsense").code == 2


def test_help_speaks_json_of_one_command_and_of_a_noun(operator: Caller) -> None:
    def names(*words: str) -> list[str]:
        return [one["name"] for one in operator("help", *words, "--format", "json").json]

    assert names("apps", "create") == ["apps:create"]
    assert names("maintenance") == ["maintenance:on", "maintenance:off"]
    assert names("storage") == ["storage", "storage:mount", "storage:unmount", "storage:destroy"]


def test_a_missing_option_is_told_on_one_line(admin: Caller) -> None:
    admin("apps:create", "hello")

    assert admin("access:add", "hello", "alice").err.startswith(
        " !     Missing option '--role'. Choose from: admin, deploy, read\n !     Usage: "
    )


def test_help_says_how_to_call_it_over_ssh(admin: Caller) -> None:
    assert admin("logs", "--help").out.startswith("Usage: ssh paas logs APP")


def test_version(reader: Caller) -> None:
    assert reader("version").out.startswith("gitpaas ")
    assert reader("--version") == reader("version")
    assert set(reader("version", "--format", "json").json) == {"gitpaas", "python"}


def test_two_threads_do_not_see_each_other(operator: Caller) -> None:
    operator("apps:create", "one")
    operator("apps:create", "two")
    wrong: list[Answer] = []

    def ask(name: str) -> None:
        for _ in range(20):
            answer = operator("open", name)
            if answer.out != f"http://{name}.localhost:8080\n":
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("one", "two") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@command("explode", role="read")
@click.argument("how")
def explode(call: Call, how: str) -> None:
    """Fail in every way."""
    raise {
        "bug": ZeroDivisionError("oops"),
        "interrupt": KeyboardInterrupt(),
        "pipe": BrokenPipeError(),
        "file": PermissionError(13, "Permission denied", "/etc/shadow"),
    }[how]


@pytest.fixture
def with_explosion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(every, "COMMANDS", (*every.COMMANDS, explode))


@pytest.mark.usefixtures("with_explosion")
def test_an_error_of_our_own_is_one_line_and_a_file(operator: Caller, config: Config) -> None:
    answer = operator("explode", "bug")

    details = config.run / "errors.log"
    assert answer.code == 1
    assert answer.err == (
        f" !     gitpaas failed with an error of its own: ZeroDivisionError: oops\n !     Details in {details}\n"
    )
    assert "Traceback" in details.read_text()
    assert details.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("with_explosion")
@pytest.mark.parametrize(
    ("how", "code", "err"),
    [("interrupt", 130, ""), ("pipe", 141, ""), ("file", 1, " !     Permission denied: /etc/shadow\n")],
)
def test_other_ends(operator: Caller, how: str, code: int, err: str) -> None:
    assert operator("explode", how) == Answer(code, "", err)


def test_a_reader_who_left_is_no_error(operator: Caller) -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError

    console = Console(closed, closed, lambda: b"", lambda: True)
    assert commands.execute(operator.platform, ["help"], Actor("alice", "read", key="k"), console) == 141
    assert commands.execute(operator.platform, ["nonsense"], Actor("alice", "read", key="k"), console) == 141
