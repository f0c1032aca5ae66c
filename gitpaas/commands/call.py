"""One call of a command: who calls, from where, and the platform, opened only when the command asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitpaas import access
from gitpaas.config import Config
from gitpaas.output import Console, Output
from gitpaas.values import Actor, Role

if TYPE_CHECKING:
    from gitpaas.platform import Platform
    from gitpaas.store import App


class Call:
    """What every command function gets first. A context manager: it ends the database session it may have begun."""

    def __init__(self, config: Config, opened: Callable[[], Platform], actor: Actor, console: Console) -> None:
        self.config = config
        self.actor = actor
        self.console = console
        self.noted = ""  # what this call is about, for its event
        self.only_looks = False  # it changes nothing after all: no event
        self._opened = opened
        self._stack = ExitStack()

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @cached_property
    def platform(self) -> Platform:
        platform = self._opened()
        self._stack.enter_context(platform.store.session())
        return platform

    @property
    def is_local(self) -> bool:
        """Whether the operator types this at the machine itself, not over SSH."""
        return self.actor.key is None

    @property
    def program(self) -> str:
        return "gitpaas" if self.is_local else "ssh paas"

    def may(self, role: Role, app: str | None = None) -> bool:
        """Whether who calls has that role on the app, or for all apps: for what is a part of a command only."""
        return access.reaches(self.actor.role if app is None else self.actor.role_on(app), role)

    def app(self, name: str) -> App:
        """The app of that name, or NotFound with the nearest names."""
        from gitpaas import apps

        return apps.find(self.platform, name)

    def apps(self, name: str | None = None) -> list[App]:
        """The app of that name, or all that whoever calls may see."""
        from gitpaas import apps

        if name:
            return [self.app(name)]
        return [app for app in apps.listing(self.platform) if self.may("read", app.name)]

    def note(self, text: str) -> None:
        """What this call changes, in a few words that everybody may read: it is kept with the event."""
        self.noted = text

    def say(self, text: str) -> None:
        self.console.out(f"{text}\n")

    def say_json(self, data: Any) -> None:
        self.say(json.dumps(data, indent=2, ensure_ascii=False))

    def progress(self) -> Output:
        """Step and detail lines of a change under way. A reader who leaves does not stop the change."""
        return Output(_ConsoleSink(self.console))


class _ConsoleSink:
    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, data: bytes) -> None:
        try:
            self._console.out(data.decode("utf-8", "replace"))
        except OSError:
            return
