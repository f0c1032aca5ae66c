"""version: which gitpaas answers."""

from __future__ import annotations

import platform

from gitpaas import __version__
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option


@command("version", role="read", scope="seen")
@format_option
def version(call: Call, style: str) -> None:
    """Print the version of gitpaas and of the Python it runs on."""
    if style == "json":
        return call.say_json({"gitpaas": __version__, "python": platform.python_version()})
    call.say(f"gitpaas {__version__} (Python {platform.python_version()})")
    return None


COMMANDS = (version,)
