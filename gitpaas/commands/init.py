"""init: the state directory, ready for the first key."""

from __future__ import annotations

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.store import Key


@command("init", role="admin", local=True)
def init(call: Call) -> None:
    """Make the state directory, database and SSH host key, and choose the runtime. Asks nothing; safe to run again."""
    from gitpaas import platform
    from gitpaas.ssh import hostkey

    with call.platform.store.session():
        has_keys = Key.select().exists()
    host_key = hostkey.ensure(call.config.host_key)
    chosen = platform.choose(call.config)
    call.say(f"State directory: {call.config.home}")
    call.say(f"Runtime:         {chosen.name}. {chosen.why}")
    call.say(f"SSH host key:    {host_key.fingerprint}")
    if not has_keys:
        call.say("Next, let yourself in (the first key is an admin): gitpaas keys:add NAME ~/.ssh/id_ed25519.pub")
    call.say("Then start the server: gitpaas start")


COMMANDS = (init,)
