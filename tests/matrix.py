"""Who may do what, tried out: every command with every role, through the real dispatch. README shows the table."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import click
from callers import OPERATOR, Caller, quiet_platform

from gitpaas import config
from gitpaas.commands.base import Command
from gitpaas.commands.call import Call
from gitpaas.commands.dispatch import dispatch
from gitpaas.commands.every import COMMANDS
from gitpaas.commands.parameters import AllOption
from gitpaas.errors import NotAllowed
from gitpaas.output import Console
from gitpaas.platform import Platform
from gitpaas.values import Actor, Role

APP = "hello"


@dataclass(frozen=True)
class Column:
    """Somebody with one role, for all apps or for APP alone."""

    title: str
    role: Role | None = None
    grants: dict[str, Role] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        return Actor("alice", self.role, key="laptop", address="192.0.2.7", grants=self.grants)


ROLES: tuple[Role, ...] = ("read", "deploy", "admin")
COLUMNS = (
    Column("none"),
    *(Column(f"{role} (app)", grants={APP: role}) for role in ROLES),
    *(Column(f"{role} (all)", role=role) for role in ROLES),
)

# What integration/test_access.py tries with the real git: the least role, and whether one for all apps is needed.
GIT = {
    "`git fetch`, `clone`, `archive --remote`": ("read", False),
    "`git push`": ("deploy", False),
    "`git push` of a new app": ("deploy", True),
}

# What a parameter that has to be there gets, by its name; those that are not here take any word.
_WORDS = {
    "pairs": "A=b",
    "quantities": "web=1",
    "mount": "data:/data",
    "host": "ghcr.io",
    "names": "www.example.com",
}


def table() -> list[str]:
    """README's lines: what has the same roles shares a row."""
    with _fresh() as platform:
        found = dict(_measured(platform))
    found |= {title: tuple(may(column, *need) for column in COLUMNS) for title, need in GIT.items()}
    titles = ["", *(column.title for column in COLUMNS)]
    rows = [_row([", ".join(names), *("yes" if cell else "-" for cell in cells)]) for cells, names in _grouped(found)]
    return [_row(titles), _row(["---"] * len(titles)), *rows]


def calls(command: Command, app: str = APP) -> Iterator[list[str]]:
    """Its arguments: of the app when it takes one, and without one (or for all) when it can do that too."""
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    options = [param for param in command.params if isinstance(param, click.Option) and param.required]
    rest = [_word(param) for param in arguments if param.required and param.name != "app"]
    rest += [word for param in options for word in (param.opts[-1], _word(param))]
    takes_app = next((param for param in arguments if param.name == "app"), None)
    if takes_app:
        yield [app, *rest]
    if any(isinstance(param, AllOption) for param in command.params):
        yield ["--all", *rest]
    if takes_app is None or not takes_app.required:
        yield rest


def is_let(platform: Platform, command: Command, args: Sequence[str], actor: Actor) -> bool:
    """Whether the command's own function is reached. It does nothing here."""
    reached: list[object] = []
    probe = copy.copy(command)
    probe.callback = lambda _call, **given: reached.append(given)
    console = Console(lambda _: None, lambda _: None, lambda: b"", lambda: False)
    try:
        with Call(platform.config, lambda: platform, actor, console) as call:
            dispatch([probe], [str(command.name), *args], call)
    except NotAllowed:
        assert not reached
        return False
    assert reached, f"{command.name} {args}"
    return True


def title(command: Command, args: Sequence[str]) -> str:
    """`events`, `events APP`, `access:add --all`: more than the name only where both can be said."""
    if len(list(calls(command))) == 1:
        return f"`{command.name}`"
    return f"`{command.name}{' APP' if APP in args else ' --all' if '--all' in args else ''}`"


def _measured(platform: Platform) -> Iterator[tuple[str, tuple[bool, ...]]]:
    for command in COMMANDS:
        if command.local:
            continue
        for args in calls(command):
            yield title(command, args), tuple(is_let(platform, command, args, one.actor) for one in COLUMNS)
    operator = Caller(platform, OPERATOR)
    operator("apps:create", APP)
    operator("config:set", APP, "A=s3cret")
    shown = [Caller(platform, column.actor)("config", APP).out for column in COLUMNS]
    yield "values in `config`", tuple("s3cret" in text for text in shown)


def _grouped(found: dict[str, tuple[bool, ...]]) -> list[tuple[tuple[bool, ...], list[str]]]:
    """What most may do first."""
    groups: dict[tuple[bool, ...], list[str]] = {}
    for name, cells in found.items():
        groups.setdefault(cells, []).append(name)
    return sorted(groups.items(), key=lambda group: -sum(group[0]))


def may(column: Column, role: Role, for_all: bool) -> bool:
    has = column.role if for_all else column.actor.role_on(APP)
    return has is not None and ROLES.index(has) >= ROLES.index(role)


def _word(param: click.Parameter) -> str:
    if isinstance(param.type, click.Choice):
        return str(param.type.choices[0])
    return _WORDS.get(str(param.name), "x1")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@contextmanager
def _fresh() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory() as home:
        platform = quiet_platform(config.load({"GITPAAS_HOME": home, "GITPAAS_RUNTIME": "host"}))
        try:
            yield platform
        finally:
            platform.store.close()
