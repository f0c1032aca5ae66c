"""The one place where commands become events: each that changes something, with how it ended, and each refusal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gitpaas import events
from gitpaas.commands.base import Command
from gitpaas.commands.call import Call
from gitpaas.errors import GitpaasError, NotAllowed, UsageError


def audited(command: Command, args: list[str], call: Call, body: Callable[[], int]) -> int:
    """The exit code of `body`, which is the command. What was typed wrong has changed nothing and is not kept."""
    try:
        code = body()
    except UsageError:
        raise
    except ConnectionError:  # nobody reads what it says after it has done its work
        _keep(command, args, call, call.noted, "ok")
        raise
    except NotAllowed as error:
        _keep_refusal(command, args, call, error)
        raise
    except BaseException as error:
        _keep(command, args, call, events.explained(call.noted, error), events.result_of(error))
        raise
    if not command.asks_for_help(args) and not call.only_looks:
        _keep(command, args, call, call.noted, "failed" if code else "ok")
    return code


def _keep(command: Command, args: list[str], call: Call, text: str, result: str) -> None:
    # `gitpaas stop` where nothing was ever made makes nothing either.
    if not command.changes or not call.config.database.exists():
        return
    # Of a database that cannot be opened the command itself has told, or it had no need of it.
    with suppress(GitpaasError), call.platform.store.session():
        events.record(str(command.name), text, app=command.app_in(args), actor=call.actor, result=result)


def _keep_refusal(command: Command, args: list[str], call: Call, error: NotAllowed) -> None:
    text = events.explained(call.noted, error)
    with suppress(GitpaasError), call.platform.store.session():
        events.refused(str(command.name), text, app=command.app_in(args), actor=call.actor)
