"""run: commands beside an app's own processes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, words_argument
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.errors import UsageError
from gitpaas.names import variable_name, variable_value
from gitpaas.output import plain
from gitpaas.values import Env, Secret

if TYPE_CHECKING:
    from gitpaas.store import App, OneOff

_COLUMNS = ("NAME", "STATE", "RELEASE", "BY", "SINCE")

_OPERATORS = {"|", "||", "&&", ">", ">>", "<", "2>&1"}  # of the shell; as words of their own they are rarely meant

_env_option = click.option(
    "-e", "--env", "variables", metavar="NAME=VALUE", multiple=True, help="One more variable; may be given again."
)


def _seconds(_context: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,8}(\.\d{1,3})?", text, re.ASCII) or not float(text):
        raise UsageError(f"{text[:80]!r} is not a number of seconds above 0.", "For example: --timeout 60")
    return float(text)


_timeout_option = click.option(
    "--timeout",
    metavar="SECONDS",
    callback=_seconds,
    help="End it after so many seconds: exit status 124.",
)


@command("run", role="deploy", changes=True)
@app_argument
@click.option("-d", "--detach", is_flag=True, help="As run:detached: leave, and it goes on.")
@_env_option
@_timeout_option
@words_argument
def run(
    call: Call, app: str, detach: bool, variables: Sequence[str], timeout: float | None, words: Sequence[str]
) -> int:
    """Run a command as the app's own processes run, with your terminal (ssh -t) or your pipes; it ends with you."""
    from gitpaas import oneoffs

    found, env = call.app(app), _environment(variables)
    line = oneoffs.command_line(found, words)
    call.note(oneoffs.program(line))
    if detach:
        return _leave(call, found, line, timeout, env)
    code = _attend(call, found, line, timeout, env)
    if code and not call.is_local and any(word in _OPERATORS or word.endswith(";") for word in words):
        call.console.err(f" !     ssh took your quotes: for a shell's line quote it twice: run {app} \"'a | b'\"\n")
    return code


@command("run:detached", role="deploy", changes=True)
@app_argument
@_env_option
@_timeout_option
@words_argument
def detached(call: Call, app: str, variables: Sequence[str], timeout: float | None, words: Sequence[str]) -> int:
    """Run a command beside an app and leave: it goes on, its output is in the app's log."""
    from gitpaas import oneoffs

    found = call.app(app)
    line = oneoffs.command_line(found, words)
    call.note(oneoffs.program(line))
    return _leave(call, found, line, timeout, _environment(variables))


@command("run:stop", role="deploy", changes=True)
@app_argument
@click.argument("name", metavar="NAME")
def stop(call: Call, app: str, name: str) -> None:
    """End a one-off command (run.12), all of it."""
    end(call, app, name)


def is_one_off(call: Call, app: str, name: str) -> bool:
    """Whether a one-off command of that name runs."""
    from gitpaas import oneoffs

    return name in map(oneoffs.label, oneoffs.unfinished(call.app(app)))


def end(call: Call, app: str, name: str) -> None:
    """The one of that name, or NotFound."""
    from gitpaas import oneoffs

    found = call.app(app)
    one_off = oneoffs.find(found, name)
    call.note(oneoffs.label(one_off))
    oneoffs.stop(call.platform, one_off, f"stopped by {call.actor.name}")
    call.say(f"{name} of {found.name} is stopped.")


def _attend(call: Call, app: App, line: str, timeout: float | None, env: Env) -> int:
    from gitpaas import oneoffs
    from gitpaas.oneoffs.relay import relay

    with (
        call.console.streams() as streams,
        oneoffs.attached(call.platform, app, line, actor=call.actor, terminal=streams.terminal, env=env) as it,
    ):
        one_off, program = it
        call.note(f"{oneoffs.label(one_off)} {oneoffs.program(line)}")
        try:
            return relay(program, streams, timeout)
        except BrokenPipeError:
            call.note(f"{call.noted}: {oneoffs.UNREAD}")
            raise
        except ConnectionError:
            call.note(f"{call.noted}: the connection was lost")
            raise


def _leave(call: Call, app: App, line: str, timeout: float | None, env: Env) -> int:
    from gitpaas import oneoffs

    one_off = oneoffs.start(call.platform, app, line, actor=call.actor, timeout=timeout, env=env)
    name = oneoffs.label(one_off)
    call.note(f"{name} {oneoffs.program(line)}")
    call.say(f"{name} of {app.name} is running.")
    call.say(f"What it says: {call.program} logs {app.name} -t -p {name}")
    call.say(f"To end it: {call.program} run:stop {app.name} {name}")
    return 0


def describe_all(call: Call, app: App) -> list[dict[str, Any]]:
    """The one-off commands that run, as JSON shows them."""
    from gitpaas import oneoffs

    return [
        {
            "name": oneoffs.label(one),
            "state": _state(one),
            "release": one.release,
            "command": _command(call, one),
            "schedule": one.schedule or None,
            "by": one.by,
            "started_at": iso(one.created_at),
        }
        for one in oneoffs.unfinished(app)
    ]


def table(call: Call, app: App) -> str:
    """The same for people; nothing when none runs."""
    from gitpaas import oneoffs

    rows = [
        [oneoffs.label(one), _state(one), f"v{one.release}", one.by, ago(one.created_at), _command(call, one)]
        for one in oneoffs.unfinished(app)
    ]
    columns = (*(Column(title) for title in _COLUMNS), Column("COMMAND", text=True))
    return render(columns, rows, call.console.width) if rows else ""


def _command(call: Call, one_off: OneOff) -> str:
    """What it holds besides the program's name is for those who may see config vars too."""
    from gitpaas import oneoffs

    line = str(one_off.command)
    return plain(line if call.may("deploy", str(one_off.app.name)) else oneoffs.program(line))


def _state(one_off: OneOff) -> str:
    return "stopping" if one_off.error else "running" if one_off.instance else "starting"


def _environment(pairs: Sequence[str]) -> Env:
    env = {}
    for pair in pairs:
        name, is_one, value = pair.partition("=")
        if not is_one:
            raise UsageError(f"{name[:80]!r} has no value.", f"For example: --env {name[:80]}=1")
        env[variable_name(name)] = Secret(variable_value(value))
    return env


COMMANDS = (run, detached, stop)
