"""What a command is: a name, the role it needs, its parameters, and one function that gets the Call.

click parses. Everything it would print itself goes through the Console instead, since several threads of the
server run commands at the same time and none of them owns the process's streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

import click

from gitpaas import access
from gitpaas.commands.call import Call
from gitpaas.commands.near import in_our_words, of_an_app
from gitpaas.commands.parameters import ALL_APPS, AllOption, AppOption, WordsArgument, app_first, words_apart
from gitpaas.errors import NotAllowed, UsageError
from gitpaas.names import app_name
from gitpaas.values import Role

_HELP = ("-h", "--help")

# Where the role is needed: on the app that is named, or for all when none is; for all apps in any case; nowhere, since
# it shows everybody what they may see (of an app that is named: on that one).
Scope = Literal["app", "all", "seen"]

Function = Callable[..., int | None]


class Command(click.Command):
    """`role` is the least that is needed, where `scope` says; `local` commands make sense on the machine itself only;
    each call of one that `changes` something is kept as an event."""

    def __init__(
        self,
        name: str,
        *,
        role: Role,
        scope: Scope,
        local: bool,
        changes: bool,
        callback: Function,
        params: list[click.Parameter],
        **extra: Any,
    ) -> None:
        super().__init__(
            name,
            callback=callback,
            params=[*params, _help_option()],
            add_help_option=False,
            options_metavar="",
            **extra,
        )
        self.role: Role = role
        self.scope: Scope = scope
        self.local = local
        self.changes = changes

    @property
    def title(self) -> str:
        """The first line of the help."""
        return (self.help or "").strip().partition("\n")[0]

    def synopsis(self) -> str:
        """`logs APP [-t] [-n LINES]`: the name and all parameters on one line."""
        return " ".join([str(self.name), *(_piece(param) for param in self.params if not _is_implied(param))])

    def options(self) -> list[tuple[str, str]]:
        """Its own options, as typed, and what each does. Those that all commands share are left out."""
        own = [param for param in self.params if isinstance(param, click.Option) and not _is_implied(param)]
        return [(", ".join(param.opts), param.help or "") for param in own if "--format" not in param.opts]

    def run(self, args: list[str], call: Call) -> int:
        """Parse, ask whether this actor may, and call. UsageError when the arguments are off."""
        try:
            context = self.make_context(self.name, list(args), obj=call, terminal_width=max(call.console.width, 40))
            with context:
                authorize(self, context.params.get("app"), call)
                return context.invoke(self.callback, call, **context.params) or 0  # type: ignore[arg-type]
        except click.exceptions.Exit as done:
            return done.exit_code
        except click.UsageError as error:
            _require_place(self, call)
            said = " ".join(error.format_message().split())  # click puts choices below each other
            raise UsageError(said, f"Usage: {call.program} {self.synopsis()}") from error

    def asks_for_help(self, args: Sequence[str]) -> bool:
        """Not so: `run hello -- ls --help`. Who asks for help needs no role."""
        own = self._words_apart(args)
        return any(arg in _HELP for arg in own[: own.index("--") if "--" in own else None])

    def place(self, app: str | None) -> str | None:
        """The app on which `role` is needed; None when it is needed for all."""
        return None if self.scope == "all" or app == ALL_APPS else app

    def app_in(self, args: list[str]) -> str | None:
        """The app that these arguments name, whether there is one or not; None when they name none."""
        with (
            suppress(UsageError, click.UsageError),
            self.make_context(self.name, list(args), resilient_parsing=True) as c,
        ):
            return app_name(c.params.get("app") or "")
        return None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(isinstance(param, AppOption) for param in self.params):
            args = app_first(self._words_apart(args))
        if "--all" in args and any(isinstance(param, AllOption) for param in self.params):
            args = [ALL_APPS, *(arg for arg in args if arg != "--all")]
        return super().parse_args(ctx, in_our_words(args, {name for param in self.params for name in param.opts}))

    def _words_apart(self, args: Sequence[str]) -> list[str]:
        """`hello ls -l` -> `hello -- ls -l`, where what follows the app is another program's business."""
        takes_words = any(isinstance(param, WordsArgument) for param in self.params)
        options = [param for param in self.params if isinstance(param, click.Option) and not param.is_flag]
        return words_apart(args, {name for param in options for name in param.opts}) if takes_words else list(args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(f"{ctx.find_object(Call).program} {self.synopsis()}")  # type: ignore[union-attr]


def authorize(command: Command, app: str | None, call: Call) -> None:
    """The one check of commands. NotAllowed says what is needed."""
    _require_place(command, call)
    place = command.place(app)
    if place is not None or command.scope != "seen":
        access.require(call.actor, command.role, place, str(command.name))


def _require_place(command: Command, call: Call) -> None:
    if command.local and not call.is_local:
        hint = f"There: gitpaas {command.name}\n{of_an_app(str(command.name), call.program)}".rstrip()
        raise NotAllowed(f"{command.name} works on the machine itself only.", hint)


def command(
    name: str,
    *,
    role: Role,
    scope: Scope | None = None,
    local: bool = False,
    hidden: bool = False,
    changes: bool = False,
) -> Callable[[Function], Command]:
    """Make a function a command. Its docstring is the help. One that `changes` something says what to call.note()."""

    def decorate(function: Function) -> Command:
        params: list[click.Parameter] = list(reversed(getattr(function, "__click_params__", [])))
        return Command(
            name,
            role=role,
            scope=scope or ("app" if any(param.name == "app" for param in params) else "all"),
            local=local,
            changes=changes,
            callback=function,
            params=params,
            help=function.__doc__,
            hidden=hidden,
        )

    return decorate


def _help_option() -> click.Option:
    return click.Option(
        list(_HELP),
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_help,
        help="Show this.",
    )


def _show_help(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and (call := ctx.find_object(Call)):
        call.say(ctx.get_help())
        ctx.exit()


def _is_implied(param: click.Parameter) -> bool:
    return isinstance(param, AppOption) or "--help" in param.opts


def _piece(param: click.Parameter) -> str:
    if isinstance(param, click.Argument):
        name = param.metavar or str(param.name).upper()
    else:
        name = param.opts[0] + ("" if isinstance(param, click.Option) and param.is_flag else f" {_values(param)}")
    return name if param.required or name.startswith("[") else f"[{name}]"


def _values(param: click.Parameter) -> str:
    if isinstance(param.type, click.Choice):
        return "|".join(map(str, param.type.choices))
    return param.metavar or str(param.name).upper()
