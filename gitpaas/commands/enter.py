"""enter: a shell in an instance that runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, optional_words_argument


@command("enter", role="deploy", changes=True)
@app_argument
@optional_words_argument("[PROCESS.N] [--] [COMMAND...]")
def enter(call: Call, app: str, words: Sequence[str]) -> int:
    """Open a shell, or run a command, in an instance that runs (web.1 unless told): ssh -t. It ends with you."""
    from gitpaas import oneoffs
    from gitpaas.oneoffs import entering
    from gitpaas.oneoffs.relay import relay

    found = call.app(app)
    instance, rest = entering.choose(call.platform, found, words)
    line = (shlex.join(rest) if len(rest) > 1 else rest[0]) if rest else entering.SHELL
    call.note(f"{instance.label} {oneoffs.program(line) if rest else 'shell'}")
    with (
        call.console.streams() as streams,
        entering.entered(call.platform, found, instance, line, streams.terminal) as program,
    ):
        return relay(program, streams)


COMMANDS = (enter,)
