"""open: where an app answers."""

from __future__ import annotations

import sys

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option


@command("open", role="read")
@app_argument
@format_option
def open_(call: Call, app: str, style: str) -> None:
    """Print the app's URL. At a machine with a display, open it in the browser too."""
    url = call.config.url(call.app(app).name)
    if style == "json":
        return call.say_json({"url": url})
    call.say(url)
    if call.is_local and call.console.tty and _has_display(call):
        import webbrowser

        webbrowser.open(url)
    return None


def _has_display(call: Call) -> bool:
    environ = call.config.environ
    return sys.platform == "darwin" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


COMMANDS = (open_,)
