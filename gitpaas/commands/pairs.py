"""What the commands that end in `:set` take: APP KEY=VALUE ...; without pairs they show what holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitpaas.commands.call import Call
from gitpaas.errors import UsageError
from gitpaas.store import App


def app_to_set(call: Call, name: str, pairs: Sequence[str]) -> App:
    """The app, of which nothing is changed without pairs. UsageError when it is a KEY=VALUE: the app was forgotten."""
    if "=" in name:
        raise UsageError("Which app?", f"The app comes first: APP {name}")
    call.only_looks = not pairs
    return call.app(name)


def parse(texts: Sequence[str], example: str) -> dict[str, str]:
    """{"root": "web"}. `root web`, as Dokku has it, is that too. UsageError, with the example, for what is none."""
    if len(texts) == 2 and not any("=" in text for text in texts):
        texts = ["=".join(texts)]
    changes = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text[:80]!r} is not KEY=VALUE.", f"For example: {example}. An empty value unsets.")
        changes[key] = value
    return changes


def written(changes: Mapping[str, str]) -> str:
    """As they were typed, for the event."""
    return " ".join(map("=".join, changes.items()))
