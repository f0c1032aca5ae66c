"""What this machine has of what gitpaas needs. Every check only looks: nothing is made, started or changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gitpaas import daemon, linux, platform, ports, shell, upgrade
from gitpaas.artifacts import room
from gitpaas.config import Config, git_environment, hosts
from gitpaas.errors import CommandFailed, Conflict, EngineFailed, RouterFailed
from gitpaas.output import amount
from gitpaas.platform import Choice
from gitpaas.router import certificates
from gitpaas.router.command import find_binary
from gitpaas.runtimes.host import HostRuntime
from gitpaas.store import Seal

if TYPE_CHECKING:
    from gitpaas.toolchain import ToolState

State = Literal["ok", "poor", "missing"]  # poor: it works, but not as well as it could

_WEEK = 7 * 86400.0

_DECIDE_ANEW = "To change it: runtime = {!r} in gitpaas.toml, then gitpaas restart"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `hint` says what to do about it, when there is something to do."""

    what: str
    state: State
    text: str
    hint: str | None = None


def examine(config: Config) -> list[Finding]:
    """All findings, in the order in which people want to know."""
    choice = platform.choose(config)
    checks = [*_ALWAYS, *(_WITH_DOCKER if choice.name == "docker" else ())]
    return [_runtime(config, choice), *(finding for check in checks for finding in check(config))]


def _runtime(config: Config, choice: Choice) -> Finding:
    """Which one and why; and whether it would be another today."""
    text = f"{choice.name}: {choice.why}"
    today = platform.decide(config)
    if config.runtime == "auto" and today.name != choice.name:
        return Finding("runtime", "ok", f"{text} That was at init; now: {today.why}", _DECIDE_ANEW.format(today.name))
    return Finding("runtime", "ok", text)


def _server(config: Config) -> Iterator[Finding]:
    now = daemon.status(config)
    if now.running:
        text = f"runs (pid {now.pid}), SSH at {now.ssh}, HTTP at {now.http}"
        text += f", HTTPS at {now.https}" if now.https else ""
        yield Finding("server", "poor" if now.outdated else "ok", text, upgrade.HINT if now.outdated else None)
        return
    yield Finding("server", "poor", "does not run", "Start it: gitpaas start")
    for port, setting in ((config.ssh_port, "GITPAAS_SSH_PORT"), *config.router_ports()):
        try:
            ports.require(config.bind, port, setting)
        except Conflict as error:
            yield Finding("ports", "missing", error.message, error.hint)
        else:
            yield Finding("ports", "ok", f"{config.bind}:{port} is free")


def _https(config: Config) -> Iterator[Finding]:
    """Whether certificates can come and have come: of names that a public CA certifies."""
    if not config.https_port:
        return
    if hosts.is_local(config.base_domain):
        yield Finding("https", "ok", f"apps under {config.base_domain} have certificates of this server's own CA")
    elif ports.is_loopback(config.bind):
        hint = 'A CA looks from outside: bind = "0.0.0.0" in gitpaas.toml, then gitpaas restart'
        yield Finding("https", "poor", f"nobody outside reaches {config.bind}, so no CA can certify apps", hint)
    elif config.http_port != 80 and config.https_port != 443:
        hint = "A CA asks at no other port. Let one of them reach this server, by a setting or a rule of the firewall."
        text = f"HTTP is at {config.http_port} and HTTPS at {config.https_port}, neither at 80 nor at 443"
        yield Finding("https", "poor", text, hint)
    else:
        way = "at port 80 (http-01)" if config.http_port == 80 else "at port 443 alone (tls-alpn-01)"
        yield Finding("https", "ok", f"certificates come from {config.acme_directory}, which looks {way}")
    for one in certificates.known(config):
        yield from _certificate(one)


def _certificate(one: certificates.Standing) -> Iterator[Finding]:
    if one.failure:
        yield Finding("https", "poor", f"no certificate for {one.host}: {one.failure.error}", "ssh paas certificates")
    elif one.certificate and not one.certificate.own and (left := one.certificate.ends - time.time()) < _WEEK:
        when = f"ends in {left / 86400:.1f} days" if left > 0 else "has ended"
        hint = "It is renewed by the requests that come for it: by the next one, if there were none lately."
        yield Finding("https", "poor", f"the certificate of {one.host} {when}", hint)


def _programs(config: Config) -> Iterator[Finding]:
    try:
        said = shell.capture(["git", "version"], env=git_environment()).decode().strip()
        yield Finding("git", "ok", said)
    except CommandFailed as error:
        yield Finding("git", "missing", error.message, "Install it (Debian, Ubuntu: apt-get install git)")
    try:
        yield Finding("router", "ok", f"Caddy, {find_binary(config.environ.get('PATH'))}")
    except RouterFailed as error:
        yield Finding("router", "missing", error.message, error.hint)


def _limits(config: Config) -> Iterator[Finding]:
    version = linux.cgroup_version()
    if version:
        what = "memory, processes and CPU time" if linux.can_limit_cpus() else "memory and processes, not CPU time"
        yield Finding("limits", "ok", f"cgroup {version}: {what} of each build and instance")
    if linux.can_confine():
        yield Finding("sandbox", "ok", "each app runs as a user of its own, apart from the others")
    for sentence in HostRuntime(config).missing():
        yield Finding("limits", "poor", sentence)


def _keys(config: Config) -> Iterator[Finding]:
    if Seal(config.secret_key).has_old_keys:
        hint = "All is readable. To end it, and to be rid of the old key: gitpaas config:rekey"
        yield Finding("key", "poor", "a change of the key of config vars was interrupted", hint)


def _disk(config: Config) -> Iterator[Finding]:
    for disk in room.disks(_existing(config), images=platform.choose(config).name == "docker"):
        text = f"{amount(disk.free)} of {amount(disk.size)} free on the disk of {disk.path}"
        if disk.free >= config.min_free_disk:
            yield Finding("disk", "ok", text)
        else:
            hint = f"No build starts below {amount(config.min_free_disk)} (min_free_disk). What takes it: gitpaas disk"
            yield Finding("disk", "missing", text, hint)


def _engine(config: Config) -> Iterator[Finding]:
    from gitpaas.engine import Engine
    from gitpaas.engine.ask import ask
    from gitpaas.runtimes.docker import DockerRuntime

    try:
        info = ask(Engine(config), "/info")
    except EngineFailed as error:
        hint = "Install it (Debian, Ubuntu: apt-get install docker.io) or start it, or set runtime = 'host'"
        yield Finding("engine", "missing", error.message, hint)
        return
    cgroup = f"cgroup v{info.get('CgroupVersion', '1')} ({info.get('CgroupDriver', 'none')})"
    yield Finding("engine", "ok", f"Docker Engine {info.get('ServerVersion')}, {info.get('Driver')}, {cgroup}")
    for sentence in DockerRuntime(config).missing():
        yield Finding("engine", "poor", sentence)


def _tools(config: Config) -> Iterator[Finding]:
    from gitpaas.toolchain import Toolchain, runc

    states = {state.tool: state for state in Toolchain(config).installed()}
    if ready := [f"{_name(state)} ({state.source})" for state in states.values() if state.state == "ready"]:
        yield Finding("tools", "ok", ", ".join(ready))
    if states["runc"].state != "ready":
        yield Finding("tools", "missing", "runc is missing, which starts the steps of every image build", runc.HINT)
    due = [f"{_name(state)} is {state.state}" for state in states.values() if state.state != "ready"]
    if due := [words for words in due if not words.startswith("runc ")]:
        hint = "The first build that needs one installs it; to do it now: gitpaas toolchain:install"
        yield Finding("tools", "poor", ", ".join(due), hint)


def _name(tool: ToolState) -> str:
    return f"{tool.tool} {tool.version}" if tool.version else tool.tool


def _buildkit(config: Config) -> Iterator[Finding]:
    from gitpaas.buildkit import BuildKit

    buildkit = BuildKit(config)
    pid = buildkit.pid()
    running = f"runs (pid {pid})" if pid else "starts with the next build"
    lacks = buildkit.missing()
    apart = (
        ""
        if lacks
        else f"; capped at {amount(config.build_memory * config.max_builds)}, its steps behind a bridge of their own"
    )
    yield Finding("buildkit", "ok", running + apart)
    for sentence in lacks:
        yield Finding("buildkit", "poor", sentence)


def _existing(config: Config) -> Config:
    """Before init: as if the state directory were the first directory above that is there."""
    return replace(config, home=next(path for path in (config.home, *config.home.parents) if path.is_dir()))


_Check = Callable[[Config], Iterator[Finding]]
_ALWAYS: tuple[_Check, ...] = (_server, _https, _programs, _limits, _disk, _keys)
_WITH_DOCKER: tuple[_Check, ...] = (_engine, _tools, _buildkit)
