"""serve, start, stop, restart, status: the server on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitpaas import upgrade
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option
from gitpaas.commands.table import ago, iso
from gitpaas.platform import choose

if TYPE_CHECKING:
    from gitpaas.daemon import DaemonStatus


RUNTIMES = {"host": "apps as processes of this machine", "docker": "apps in containers of Docker Engine"}


@command("serve", role="admin", local=True)
def serve(call: Call) -> None:
    """Run the server in the foreground; it prints `ready ssh=HOST:PORT http=HOST:PORT` when these accept."""
    from gitpaas import serve as server
    from gitpaas.commands import execute

    server.serve(call.config, execute)


@command("start", role="admin", local=True, changes=True)
def start(call: Call) -> None:
    """Start the server in the background, and wait until it accepts. Running already is fine."""
    from gitpaas import daemon

    _tell(call, daemon.start(call.config))


@command("stop", role="admin", local=True, changes=True)
@click.option("--apps", is_flag=True, help="Stop the apps too; without it they keep running.")
def stop(call: Call, apps: bool) -> None:
    """Stop the server. Apps keep running, but are not reached until it starts again."""
    from gitpaas import daemon

    call.note("with the apps" if apps else "")
    was_running = daemon.stop(call.config, apps=apps)
    call.say("The server has stopped." if was_running else "No server was running.")
    if apps:
        call.say("The apps have stopped too.")
    elif was_running:
        call.say("Apps keep running, but are not reached until it starts again: gitpaas start")


@command("restart", role="admin", local=True, changes=True)
def restart(call: Call) -> None:
    """A new server in place of the running one. Apps and router go on: no request is lost."""
    from gitpaas import daemon

    _tell(call, daemon.restart(call.config))


@command("status", role="admin", local=True)
@format_option
def status(call: Call, style: str) -> int:
    """Say whether the server runs, where it listens, and what this machine lacks. Exit 1 when it does not run."""
    from gitpaas import daemon

    found = daemon.status(call.config)
    call.say_json(_describe(call, found)) if style == "json" else _tell(call, found)
    return 0 if found.running else 1


def _tell(call: Call, status: DaemonStatus) -> None:
    if status.running:
        call.say(f"running, pid {status.pid}, since {ago(status.since)}")
        call.say(f"SSH   {status.ssh}")
        call.say(f"HTTP  {status.http}")
        if status.https:
            call.say(f"HTTPS {status.https}")
    else:
        call.say("not running. Start it: gitpaas start")
    call.say(f"State {call.config.home}")
    call.say(f"Runs  {RUNTIMES[choose(call.config).name]}")
    for sentence in [*((upgrade.HINT,) if status.outdated else ()), *status.missing]:
        call.say(f" !     {sentence}")


def _describe(call: Call, status: DaemonStatus) -> dict[str, Any]:
    return {
        "running": status.running,
        "pid": status.pid,
        "ssh": status.ssh,
        "http": status.http,
        "https": status.https,
        "since": iso(status.since),
        "home": str(call.config.home),
        "runtime": choose(call.config).name,
        "outdated": status.outdated,
        "missing": list(status.missing),
    }


COMMANDS = (serve, start, stop, restart, status)
