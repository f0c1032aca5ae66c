"""maintenance: our own page in front of an app."""

from __future__ import annotations

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument


@command("maintenance:on", role="deploy", changes=True)
@app_argument
def on(call: Call, app: str) -> None:
    """Answer with a maintenance page (503); the app keeps running behind it."""
    _switch(call, app, True)


@command("maintenance:off", role="deploy", changes=True)
@app_argument
def off(call: Call, app: str) -> None:
    """Let the app answer again."""
    _switch(call, app, False)


def _switch(call: Call, name: str, on: bool) -> None:
    from gitpaas import deploy

    app = call.app(name)
    deploy.maintenance(call.platform, app, on=on)
    call.say(f"{app.name} {'shows the maintenance page' if on else 'answers itself again'}: {call.config.url(name)}")


COMMANDS = (on, off)
