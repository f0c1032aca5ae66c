"""What people give to become config vars: words, standard input, files."""

from __future__ import annotations

from collections.abc import Sequence

from gitpaas.apps import envfile
from gitpaas.commands import given
from gitpaas.commands.call import Call
from gitpaas.errors import UsageError
from gitpaas.names import is_variable_name, settable_name
from gitpaas.store import App


def from_words(call: Call, app: App, words: Sequence[str]) -> dict[str, str]:
    """Pairs of NAME=VALUE, or one NAME alone, whose value is standard input."""
    # One alone, since two are more likely a value with spaces that has lost its quotes.
    if len(words) == 1 and is_variable_name(words[0]):
        return {settable_name(words[0]): _from_input(call, app, words[0])}
    return given.once(map(_pair, words))


def from_file(call: Call, app: App, source: str, style: str) -> dict[str, str]:
    """All of a file at the machine itself, or of standard input (`-`), in the format `env` or `json`."""
    hint = f"Pipe it in: {call.program} config:import {app.name} --format {style} < FILE"
    return envfile.parse(given.read_text(call, source, hint).removeprefix("\ufeff"), style)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        # The text itself may be the rest of a secret that lost its quotes: not repeated here.
        raise UsageError(
            "Every argument after the app is NAME=VALUE; one of them has no '='.",
            "A value with spaces needs quotes twice over SSH: ssh paas \"config:set APP 'NAME=a b'\"",
        )
    return settable_name(name), value


def _from_input(call: Call, app: App, name: str) -> str:
    hint = f"{call.program} config:set {app.name} {name} < FILE, or NAME=VALUE (NAME= for an empty one)"
    if not call.console.tty:
        call.console.err(f"Reading the value of {name} from standard input, to its end.\n")
    value = given.read_text(call, "-", hint).removesuffix("\n")
    if not value:
        raise UsageError("There was nothing on standard input.", hint)
    return value
