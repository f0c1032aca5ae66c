"""Values that cross borders between rooms. All frozen; nothing here does any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Role = Literal["admin", "deploy", "read"]
ROLES: tuple[Role, ...] = ("admin", "deploy", "read")  # each may all that those after it may


class Secret:
    """A value that never shows itself: str() and repr() print [REDACTED]; reveal() is the one way out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "[REDACTED]"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


Env = Mapping[str, "str | Secret"]


def revealed(env: Env) -> dict[str, str]:
    """As a child process must have it."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in env.items()}


@dataclass(frozen=True)
class Actor:
    """Who acts: a person by a key over SSH, or the operator at the machine's own shell (`key` is None)."""

    name: str  # the person
    role: Role | None  # for all apps
    key: str | None = None  # its name
    address: str = "local"
    grants: Mapping[str, Role] = field(default_factory=dict, hash=False)  # app -> what was granted for that one

    def role_on(self, app: str) -> Role | None:
        """The better of the role for all apps and of what was granted for this one."""
        return min((role for role in (self.role, self.grants.get(app)) if role), key=ROLES.index, default=None)


@dataclass(frozen=True)
class Limits:
    """What one instance or build may take. Bytes, counts and seconds; None leaves it alone."""

    memory: int | None = None
    processes: int | None = None
    files: int | None = None
    cpus: float | None = None  # of one CPU's time: 0.5 is half of one


@dataclass(frozen=True)
class Mount:
    """A host path shown inside a sandbox. `source` is absolute on the host, `target` absolute inside."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class VolumeMount:
    """A directory of an app that outlives its releases: `name` is the app's own, `target` absolute inside."""

    name: str
    target: str


@dataclass(frozen=True)
class BuildOptions:
    """What people chose for an app's builds. JSON in the store; empty means that the tree decides."""

    builder: str | None = None  # slug, railpack, dockerfile
    root: str | None = None  # the directory of the tree that is the app; relative, without `..`
    dockerfile: str | None = None  # relative to `root`
    target: str | None = None  # a stage of the Dockerfile
    args: Mapping[str, str] = field(default_factory=dict)  # build arguments of the Dockerfile; not secret


@dataclass(frozen=True)
class RunOptions:
    """What people chose for an app's instances. JSON in the store."""

    port: int | None = None  # the one that web listens on, when neither PORT nor EXPOSE says it
    read_only: bool = False  # nothing but /tmp and the app's volumes can be written
    check_path: str | None = None  # of the health check, whatever app.json says
    check_timeout: float | None = None


@dataclass(frozen=True)
class Detection:
    """A builder understands the tree: `label` is shown to the user ("Python"), and after it `by` ("Railpack 0.23")."""

    builder: str
    label: str
    by: str = ""


@dataclass(frozen=True)
class BuildRequest:
    """What a builder gets. All paths exist, are absolute, and are owned by `uid` when it is set."""

    app: str
    build: int
    commit: str
    tree: Path  # the exported commit; the builder works in it, and for a slug it stays: it is the slug
    cache: Path  # kept between builds of this app: downloads, and layers by the hash of their lock file
    env: Env  # config vars and what the operator lets builds see (proxies, certificates)
    uid: int | None  # run the app's own code as this user (and a group of the same number)
    timeout: float  # seconds for the whole build
    limits: Limits = Limits()
    options: BuildOptions = BuildOptions()
    previous: Mapping[str, str] = field(default_factory=dict)  # Artifact.details of the release that is live


@dataclass(frozen=True)
class HealthCheck:
    """How to ask a new web instance whether it is ready. Without a path an open port is enough."""

    path: str | None = None
    timeout: float = 60.0  # seconds until the deploy gives up


CronPolicy = Literal["allow", "forbid", "replace"]


@dataclass(frozen=True)
class CronEntry:
    """A command that runs at certain times. `policy`: what happens when it is time and the last run goes on."""

    name: str  # unique in its app
    command: str  # for a shell, or a process type whose command it is
    schedule: str  # as it was written: "0 3 * * *", "@daily"
    timezone: str = "UTC"  # IANA name
    policy: CronPolicy = "forbid"
    suspended: bool = False  # by the tree itself


@dataclass(frozen=True)
class Reach:
    """Where an instance can be asked and whether that makes sense yet, as its runtime sees it from inside."""

    address: str | None
    ready: bool = True  # False: a health check that the image itself brings has not passed yet
    note: str = ""  # why nobody reaches it, for people: "it listens on 127.0.0.1:5000 only"


ArtifactKind = Literal["slug", "image"]


@dataclass(frozen=True)
class Artifact:
    """What a build made: enough to run it, and to run it again a year later. JSON in the store."""

    kind: ArtifactKind
    reference: str  # a slug's absolute directory, or an image's id (sha256:...)
    builder: str
    label: str  # "Python 3.11 (uv, requirements.txt)"
    processes: Mapping[str, str]  # process type -> shell command ("": as the image itself starts), also `release`
    env: Mapping[str, str] = field(default_factory=dict)  # defaults the build brings (PATH, VIRTUAL_ENV, ...)
    mounts: tuple[Mount, ...] = ()  # what lies outside the slug: interpreters, layers
    size: int = 0  # bytes
    health: HealthCheck = HealthCheck()
    formation: Mapping[str, int] = field(default_factory=dict)  # what the tree itself asks for at first
    details: Mapping[str, str] = field(default_factory=dict)  # what the builder resolved: {"python": "3.12.3"}
    scripts: Mapping[str, str] = field(default_factory=dict)  # when (appjson.scripts) -> command, run once a deploy
    cron: tuple[CronEntry, ...] = ()


@dataclass(frozen=True)
class Exit:
    """How an instance ended."""

    code: int | None  # 128 + n for signal n; None when nobody saw it
    oom: bool = False  # the kernel ended it because it took more memory than its limit
    at: float | None = None  # seconds since the epoch


@dataclass(frozen=True)
class InstanceSpec:
    """One copy of a process type to start. The labels (app, release, process, number) find it again."""

    app: str
    release: int
    process: str
    number: int
    command: str
    artifact: Artifact
    env: Env
    uid: int | None
    limits: Limits
    listens: bool  # web gets a PORT and an address; everything else does not
    restarts: int = 0  # how often in a row this one has crashed before
    volumes: tuple[VolumeMount, ...] = ()
    options: RunOptions = RunOptions()
    one_off: int | None = None  # the number of the one-off command that it runs, for all apps
    last_exit: Exit | None = None  # of the one that ran in its place before
    commit: str = ""  # that the release was made of
    url: str = ""  # where the app answers


State = Literal["running", "exited"]


@dataclass(frozen=True)
class Instance:
    """One running (or ended, not yet removed) copy, as the runtime sees it."""

    id: str  # the runtime's own handle: unique, safe as a file name
    app: str
    release: int
    process: str
    number: int
    state: State
    address: str | None  # "127.0.0.1:20017"; None when it does not listen
    started_at: float  # seconds since the epoch
    exited_at: float | None = None
    exit_code: int | None = None  # 128 + n for signal n; None while running, or when nobody saw it
    restarts: int = 0
    oom: bool = False  # the kernel ended it because it took more memory than its limit
    log: Path | None = None  # the file in which its raw output arrives
    runtime: str = "host"  # the name of the one that runs it
    one_off: int | None = None  # as in the spec; it is none of the formation's then
    last_exit: Exit | None = None  # as in the spec: not its own

    @property
    def label(self) -> str:
        return f"{self.process}.{self.number}"

    @property
    def exit(self) -> Exit | None:
        """How it ended itself; None while it runs."""
        return Exit(self.exit_code, self.oom, self.exited_at) if self.state == "exited" else None


@dataclass(frozen=True)
class Usage:
    """What one instance takes, all of its processes together."""

    memory: int  # bytes, without what the kernel could drop at once
    cpu: float  # seconds of one CPU since its start
    at: float  # when that was read, by time.monotonic()


@dataclass(frozen=True)
class Survey:
    """What runs, as far as it can be seen."""

    instances: tuple[Instance, ...]
    unseen: frozenset[str] = frozenset()  # kinds of artifacts whose instances cannot be seen now


Page = Literal["starting", "crashed", "stopped", "empty"]

# How `gitpaas receive` ends, and what git's client is told in `ng <ref> <reason>`.
RECEIVE_REASONS: Mapping[int, str] = {
    1: "build failed",
    10: "superseded by a newer push",
    11: "fetch first",
    12: "not allowed",
    13: "the platform failed",
}
