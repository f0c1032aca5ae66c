"""One more program in an instance that runs: a shell, to look around."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from gitpaas import releases
from gitpaas.errors import NotFound
from gitpaas.output import Terminal
from gitpaas.platform import Platform
from gitpaas.runtimes import Attached
from gitpaas.store import App
from gitpaas.values import Instance, InstanceSpec

SHELL = "command -v bash >/dev/null 2>&1 && exec bash; exec sh"
_FIRST = "web.1"


def choose(platform: Platform, app: App, words: Sequence[str]) -> tuple[Instance, list[str]]:
    """The instance that is meant, and the command: the first word may name one (web.1, web, run.12), else it is web.1,
    or the first of another process type where there is no web. NotFound says what runs."""
    running = [instance for instance in platform.runtime.running(app.name) if instance.state == "running"]
    if words and (named := list(_named(app, running, words[0]))):
        rest = list(words[1:])
        return named[0], rest[1:] if rest[:1] == ["--"] else rest
    usual = [*_named(app, running, _FIRST), *(one for one in running if one.one_off is None)]
    if not usual:
        releases.require_live(app)
        raise NotFound(f"Nothing of {app.name} runs.", f"To run a command all the same: ssh paas run {app.name}")
    if words and _looks_like_one(words[0]):
        there = ", ".join(sorted({one.label for one in running}))
        raise NotFound(f"{words[0]} of {app.name} does not run.", f"These do: {there}.")
    return usual[0], list(words)


def entered(
    platform: Platform, app: App, instance: Instance, command: str, terminal: Terminal | None
) -> AbstractContextManager[Attached]:
    """The program's streams, for the body; with that it ends."""
    spec = _spec(platform, app, instance, command)
    where = {"TERM": terminal.kind} if terminal else {}
    return platform.runtime.enter(instance, replace(spec, env={**spec.env, **where}), terminal)


def _spec(platform: Platform, app: App, instance: Instance, command: str) -> InstanceSpec:
    release = releases.find(app, instance.release)
    return releases.one_off_spec(platform, app, release, instance.process, instance.number, command)


def _named(app: App, running: Sequence[Instance], name: str) -> Iterator[Instance]:
    """Those of that name or process type: of the live release first, then the youngest."""
    fits = [one for one in running if name in (one.label, one.process)]
    return iter(sorted(fits, key=lambda one: (one.release != app.release, one.number, -one.started_at)))


def _looks_like_one(word: str) -> bool:
    """`web.2`, and no program: these have letters behind a dot."""
    process, _, number = word.rpartition(".")
    return bool(process) and "/" not in process and number.isdecimal()
