"""Parameters that many commands have: the app, another program's words, the format, how many; and arguments as click is
to see them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from gitpaas.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
ALL_APPS = "*"  # where an app is named: no app's name

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def app_argument(function: Decorated) -> Decorated:
    """APP as the first argument, or -a/--app APP anywhere."""
    return _with_app(function, required=True)


def optional_app_argument(function: Decorated) -> Decorated:
    """The same for what can be asked of all apps too."""
    return _with_app(function, required=False)


def words_argument(function: Decorated) -> Decorated:
    """`-- COMMAND ...`, as the last argument."""
    _add(function, WordsArgument(["words"], metavar="[--] COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED))
    return function


def optional_words_argument(metavar: str) -> Callable[[Decorated], Decorated]:
    """The same, where there may be none."""

    def decorate(function: Decorated) -> Decorated:
        _add(function, WordsArgument(["words"], metavar=metavar, nargs=-1, required=False, type=click.UNPROCESSED))
        return function

    return decorate


def all_option(function: Decorated) -> Decorated:
    """--all in the place of the app: the function gets ALL_APPS."""
    _add(function, AllOption(["--all"], is_flag=True, expose_value=False, help="For all apps; APP is left away then."))
    return function


def pairs_argument(function: Decorated) -> Decorated:
    """KEY=VALUE ...; see pairs.parse."""
    return click.argument("pairs", metavar="KEY=VALUE...", nargs=-1)(function)


def format_option(function: Decorated) -> Decorated:
    """--format text or json: the function gets it as `style`."""
    return click.option(
        "--format", "style", type=click.Choice(["text", "json"]), default="text", help="How to print it."
    )(function)


def limit_option(function: Decorated) -> Decorated:
    """-n, --limit COUNT of a list that begins with the newest."""
    return click.option(
        "-n",
        "--limit",
        metavar="COUNT",
        type=click.IntRange(1),
        default=20,
        help="How many, newest first; 20 unless told.",
    )(function)


def time_options(function: Decorated) -> Decorated:
    """--since and --until: the function gets seconds since the epoch, or None."""
    ages = "None older: 30m, 2h, 7d, or a time such as 2026-01-31T12:00Z."
    until = click.option("--until", metavar="AGE|TIME", callback=_moment, help="None newer.")(function)
    return click.option("--since", metavar="AGE|TIME", callback=_moment, help=ages)(until)


def require_open_end(tail: bool, until: float | None) -> None:
    """UsageError when what comes is to be shown, and nothing newer than a time."""
    if tail and until is not None:
        raise UsageError("-t shows what comes; --until ends before that.")


def release_number(text: str | None) -> int | None:
    """`v11` or `11`. UsageError when it is no name of a release."""
    if text is None:
        return None
    match = re.fullmatch(r"v?(\d{1,9})", text)
    if not match:
        raise UsageError(f"{text[:80]!r} is not a release.", "Name one as `releases` lists them: v11")
    return int(match[1])


class WordsArgument(click.Argument):
    """The words of another program's command line: all that follows the app, options too."""


class AppOption(click.Option):
    """`-a APP`: the other way to name the app. Rewritten to the first argument before anything is parsed."""


class AllOption(click.Option):
    """`--all`: all apps in the place of one. Rewritten to ALL_APPS as the first argument."""


def app_first(args: list[str]) -> list[str]:
    """`K=V -a hello` -> `hello K=V`. What follows `--` is left alone."""
    for index, arg in enumerate(args):
        if arg == "--":
            break
        if arg in ("-a", "--app"):
            if index + 1 == len(args):
                raise UsageError(f"{arg} wants the name of an app after it.")
            return [args[index + 1], *args[:index], *args[index + 2 :]]
        if arg.startswith("--app=") or (arg.startswith("-a") and len(arg) > 2):
            return [arg.removeprefix("--app=").removeprefix("-a"), *args[:index], *args[index + 1 :]]
    return args


def words_apart(args: Sequence[str], with_value: Collection[str]) -> list[str]:
    """A `--` before the first word that is neither an option nor the app, unless there is one before."""
    app_is_named = is_value = False
    for index, arg in enumerate(args):
        if is_value:
            is_value = False
        elif arg == "--":
            break
        elif arg.startswith("-"):
            is_value = arg in with_value
            app_is_named = app_is_named or arg.startswith(("-a", "--app"))
        elif app_is_named:
            return [*args[:index], "--", *args[index:]]
        else:
            app_is_named = True
    return list(args)


def _moment(_context: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Seconds since the epoch. A time without a zone is UTC, as all that is printed."""
    if text is None:
        return None
    if match := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        return time.time() - int(match[1]) * _UNITS[match[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text[:80]!r} is neither an age nor a time.", "For example: 30m, 2h, 7d, 2026-01-31, 2026-01-31T12:00Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _with_app(function: Decorated, *, required: bool) -> Decorated:
    option = AppOption(
        ["-a", "--app", "named_app"], metavar="APP", expose_value=False, help="The app, instead of the argument."
    )
    _add(function, option)
    return click.argument("app", metavar="APP", required=required)(function)


def _add(function: Callable[..., Any], param: click.Parameter) -> None:
    function.__dict__.setdefault("__click_params__", []).append(param)
