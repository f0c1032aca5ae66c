"""From a fresh clone to an app that answers, and back. Every step looks first and changes only what is not right.

Runs in the environment that the bash script of the same name has made, with this clone's gitpaas in it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

import containers
import question
import sample
import settings
import sshconfig
from place import CLONE, Failed, Place, call, gitpaas, reachable, shown, tell, who

from gitpaas import daemon
from gitpaas.config import hosts, load
from gitpaas.errors import GitpaasError
from gitpaas.platform import choose

PUBLIC_KEYS = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")


def main() -> int:
    options = _options()
    try:
        config = load()
        home = Path.home()
        ssh_config = home / ".ssh" / "config" if options.ssh_config else config.home / "ssh_config"
        place = Place(config, home, ssh_config, home / "gitpaas-hello")
        if options.action is purge and not options.yes:
            question.ask(place)
        options.action(place)
    except Failed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except GitpaasError as error:
        print(f"\n{error.message}" + (f"\n{error.hint}" if error.hint else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `quickstart | head`: whatever is still to be said goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def up(place: Place) -> None:
    tell("ready", f"environment {shown(CLONE / '.venv')}")
    containers.require_usable(place)
    make_state(place)
    containers.install_tools(place)
    key = find_key(place)
    add_key(key)
    start_server(place)
    keep_settings(place)
    write_ssh_config(place, key)
    sample.make(place)
    sample.push(place)
    say_what_next(place)


def down(place: Place) -> None:
    """Stop the server, the router, BuildKit and every app. All of it comes back with the next start."""
    if not place.config.database.exists():
        tell("ready", f"nothing runs: there is no {shown(place.config.home)}")
        return
    daemon.stop(place.config, apps=True)
    tell("stopped", "server, router and apps")


def purge(place: Place) -> None:
    """Stop everything and remove all that quickstart made, except a key: that is the user's now."""
    state = place.config.home
    down(place)
    if place.config.database.exists():
        containers.remove_all(place)
    if sshconfig.remove(place.home / ".ssh" / "config", place.known_hosts):
        tell("removed", f"the Host paas block in {shown(place.home / '.ssh' / 'config')}")
    if sample.is_ours(place):
        remove(place.sample)
    if place.config.database.exists():
        if any(kept.is_relative_to(state) for kept in (place.home, CLONE)):
            raise Failed(f"{state} holds more than gitpaas made. Remove gitpaas's files in it by hand.")
        remove(state)
    remove(CLONE / ".venv")


def make_state(place: Place) -> None:
    ready = place.config.host_key.exists() and place.config.database.exists()
    gitpaas("init")
    tell("ready" if ready else "made", f"state directory {shown(place.config.home)}")
    chosen = choose(place.config)
    tell("ready" if ready else "chose", f"runtime {chosen.name}: {chosen.why}")


def keep_settings(place: Place) -> None:
    """Once a server runs with them: a port that was taken should not be tried for ever."""
    if kept := settings.keep(place.config):
        tell("wrote", f"{', '.join(kept)} in {shown(place.config.home / 'gitpaas.toml')}")


def find_key(place: Place) -> Path:
    """The user's public key; a new pair without a passphrase when there is none."""
    directory = place.home / ".ssh"
    for name in PUBLIC_KEYS:
        if (directory / name).exists():
            return directory / name
    private = directory / "id_ed25519"
    if private.exists():
        raise Failed(f"{private} has no public half beside it. Write it: ssh-keygen -y -f {private} > {private}.pub")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who(), "-f", str(private)])
    tell("made", f"SSH key {shown(private)}")
    return private.with_suffix(".pub")


def add_key(key: Path) -> None:
    fingerprint = call(["ssh-keygen", "-lf", str(key)]).split()[1]
    known = json.loads(gitpaas("keys", "--format", "json"))
    for entry in known:
        if entry["fingerprint"] == fingerprint:
            tell("ready", f'key "{entry["name"]}" ({shown(key)})')
            return
    taken = {entry["name"] for entry in known}
    name = next(name for name in (who(), *(f"{who()}-{n}" for n in range(2, 1000))) if name not in taken)
    gitpaas("keys:add", name, str(key), "--role", "admin")
    tell("added", f'key "{name}" ({shown(key)})')


def start_server(place: Place) -> None:
    config = place.config
    now = daemon.status(config)
    https = f"{config.bind}:{config.https_port}" if config.https_port else None
    wanted = f"{config.bind}:{config.ssh_port}", f"{config.bind}:{config.http_port}", https
    is_there = now.running and (now.ssh, now.http, now.https) == wanted
    right = is_there and not now.outdated and not settings.overruled(config)
    if is_there and not right:
        daemon.restart(config)  # it knows nothing of an upgrade, or of what is set now
    elif now.running and not right:
        daemon.require_ports(config)
        daemon.stop(config)  # it listens where an older setting said
    daemon.start(config)
    tell(
        "ready" if right else "renewed" if is_there else "started",
        f"server: ssh {wanted[0]}, http {wanted[1]}" + (f", https {https}" if https else ""),
    )


def write_ssh_config(place: Place, key: Path) -> None:
    config = place.config
    known_hosts = place.known_hosts
    known_hosts.write_text(f"paas {call(['ssh-keygen', '-y', '-f', str(config.host_key)])}")
    block = sshconfig.block(
        host=reachable(config.bind),
        port=config.ssh_port,
        user="git",
        key=key.with_suffix(""),
        known_hosts=known_hosts,
    )
    try:
        changed = sshconfig.put(place.ssh_config, block)
    except sshconfig.HostTaken:
        raise Failed(
            f"{place.ssh_config} has a `Host paas` of your own. Give it another name, or run scripts/quickstart"
            " --no-ssh-config, which keeps its own file."
        ) from None
    tell("wrote" if changed else "ready", f"Host paas in {shown(place.ssh_config)}")


def say_what_next(place: Place) -> None:
    took = time.time() - float(os.environ.get("QUICKSTART_BEGAN") or time.time())
    ssh = f"{shlex.join(place.ssh)} paas"
    lines = {
        f"cd {shown(place.sample)}": "change GREETING in app.py, then",
        'git commit -am "A new greeting" && git push paas main': "see it live",
        ssh: "your apps and their URLs",
        f"{ssh} logs {sample.APP} -t": "what the app prints",
        f"{ssh} help": "everything else",
    }
    if place.config.https_port and hosts.is_local(place.config.base_domain):
        lines |= {f"{ssh} certificates:root": "what your browser is to trust"}
    width = max(map(len, lines))
    print(f"\n{place.config.url(sample.APP)} is live ({took:.0f} seconds).\n\nNext:")
    for typed, what in lines.items():
        print(f"  {typed:<{width}}   {what}")
    print(f"An app of your own: {_remote(place)} && git push paas main")
    print("Stop it all: scripts/quickstart --down. Remove it all: scripts/quickstart --purge")


def _remote(place: Place) -> str:
    """What makes a repository know `paas:`; with a configuration of our own, git has to be told of it."""
    add = "git remote add paas paas:NAME"
    return add if place.ssh == ["ssh"] else f'git config core.sshCommand "{shlex.join(place.ssh)}" && {add}'


def remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
        tell("removed", shown(path))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--no-ssh-config", dest="ssh_config", action="store_false", help="leave ~/.ssh/config; keep a file of our own"
    )
    undo = parser.add_mutually_exclusive_group()
    undo.add_argument("--down", dest="action", action="store_const", const=down, help="stop server, router and apps")
    undo.add_argument(
        "--purge", dest="action", action="store_const", const=purge, help="stop, and remove all that quickstart made"
    )
    parser.add_argument("--yes", action="store_true", help="with --purge: do not ask at a terminal whether to go on")
    parser.set_defaults(action=up)
    options = parser.parse_args()
    if options.yes and options.action is not purge:
        parser.error("--yes goes with --purge")
    return options


if __name__ == "__main__":
    sys.exit(main())
