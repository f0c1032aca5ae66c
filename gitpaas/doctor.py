"""What this machine has of what gitpaas needs. Every check only looks: nothing is made, started or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gitpaas import daemon, linux, platform, ports, shell, upgrade
from gitpaas.artifacts import room
from gitpaas.config import Config, git_environment
from gitpaas.errors import CommandFailed, Conflict, EngineFailed, RouterFailed
from gitpaas.output import amount
from gitpaas.platform import Choice
from gitpaas.router.command import find_binary
from gitpaas.runtimes.host import HostRuntime
from gitpaas.store import Seal

if TYPE_CHECKING:
    from gitpaas.toolchain import ToolState

State = Literal["ok", "poor", "missing"]  # poor: it works, but not as well as it could

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
        yield Finding("server", "poor" if now.outdated else "ok", text, upgrade.HINT if now.outdated else None)
        return
    yield Finding("server", "poor", "does not run", "Start it: gitpaas start")
    for port, setting in ((config.ssh_port, "GITPAAS_SSH_PORT"), (config.http_port, "GITPAAS_HTTP_PORT")):
        try:
            ports.require(config.bind, port, setting)
        except Conflict as error:
            yield Finding("ports", "missing", error.message, error.hint)
        else:
            yield Finding("ports", "ok", f"{config.bind}:{port} is free")


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
_ALWAYS: tuple[_Check, ...] = (_server, _programs, _limits, _disk, _keys)
_WITH_DOCKER: tuple[_Check, ...] = (_engine, _tools, _buildkit)
