"""A running SSH server in a temporary state directory, and clients: the real git and ssh of this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import flow as flows
import pytest
from flow import Flow, Images

from gitpaas import store
from gitpaas.config import Config
from gitpaas.errors import NotAllowed
from gitpaas.git import repository
from gitpaas.output import Console
from gitpaas.ssh import hostkey, keys
from gitpaas.ssh.server import SshServer
from gitpaas.store import Key, Store
from gitpaas.values import Actor, Role

HOOK = """#!/bin/sh
while read -r line; do echo "$line" >> "{record}/lines"; done
env > "{record}/env"
echo "-----> Building"
{script}
"""


@dataclass
class StubApps:
    """The seam to the flow: apps are directories, main is what deploys, the hook is a script of the test."""

    config: Config
    record: Path
    may_create: bool = True
    notice: str | None = None
    hook: str = 'git update-ref refs/heads/main "$(tail -n 1 {record}/lines | cut -d" " -f2)"; echo "=====> deployed"'
    made: list[tuple[str, str]] = field(default_factory=list)

    def exists(self, name: str) -> bool:
        return self.config.repository(name).exists()

    def for_push(self, name: str, actor: Actor, object_format: str) -> None:
        path = self.config.repository(name)
        if not path.exists():
            if not self.may_create:
                raise NotAllowed(f"There is no app {name!r}, and pushes do not make apps here.", "First: apps:create")
            repository.create(path, self.config.home, object_format)
            self.made.append((name, actor.name))
        script = HOOK.format(record=self.record, script=self.hook.format(record=self.record))
        hook = path / "hooks" / "post-receive"
        hook.write_text(script)
        hook.chmod(0o755)

    def deploy_ref(self, name: str, refs: Sequence[str]) -> str | None:
        return "refs/heads/main" if "refs/heads/main" in refs else None

    def stored_message(self, name: str, refs: Sequence[str]) -> str:
        return f"{refs[0].removeprefix('refs/heads/')} stored; only main is deployed"

    def live_notice(self, name: str) -> str | None:
        return self.notice


def echo(argv: Sequence[str], actor: Actor, console: Console) -> int:
    console.out(f"{' '.join(argv)} for {actor.name} ({actor.role})\n")
    return 0


@dataclass
class Door:
    """The server and everything a test does to it from outside."""

    config: Config
    server: SshServer
    apps: StubApps
    store: Store
    desk: Path  # where clients keep their files

    def add_key(self, name: str, role: Role = "admin", kind: str = "ed25519", bits: int = 0) -> Path:
        """A new key pair that the server knows."""
        private = self.new_key(name, kind, bits)
        public = keys.parse(private.with_suffix(".pub").read_text())
        with self.store.session():
            Key.create(name=name, person=name, fingerprint=public.fingerprint, line=public.line, role=role)
        return private

    def new_key(self, name: str, kind: str = "ed25519", bits: int = 0) -> Path:
        private = self.desk / name
        size = ["-b", str(bits)] if bits else []
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", name, "-f", private], check=True)
        return private

    def remove_key(self, name: str) -> None:
        with self.store.session():
            Key.delete().where(Key.name == name).execute()

    def ssh_argv(self, key: str = "laptop", *options: str) -> list[str]:
        host = hostkey.ensure(self.config.host_key)
        known = self.desk / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.server.port} {host.line}\n")
        chosen = {
            "BatchMode": "yes",
            "ConnectTimeout": "60",
            "IdentitiesOnly": "yes",
            "IdentityFile": str(self.desk / key),
            "IdentityAgent": "none",
            "Port": str(self.server.port),
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known),
        }
        return ["ssh", "-F", "none", *options, *(f"-o{name}={value}" for name, value in chosen.items())]

    def ssh(self, *command: str, key: str = "laptop", options: Sequence[str] = (), **how: object) -> Done:
        """Run `ssh paas COMMAND`."""
        return run([*self.ssh_argv(key, *options), "anybody@127.0.0.1", *command], **how)

    def git_env(self, key: str = "laptop", **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.desk),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSH_COMMAND": shlex.join(self.ssh_argv(key)),
            "GIT_TERMINAL_PROMPT": "0",
            **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _PERSON.items()},
            **more,
        }

    def url(self, app: str = "hello") -> str:
        return f"anybody@127.0.0.1:{app}"

    def clone(self, name: str = "work", *options: str) -> Work:
        """An empty repository of the client's, whose remote `paas` is the app hello."""
        path = self.desk / name
        run(["git", "init", "-q", "-b", "main", *options, str(path)], env=self.git_env()).ok()
        work = Work(self, path)
        work.git("remote", "add", "paas", self.url()).ok()
        return work

    def clone_of(self, name: str) -> Work:
        """A repository that is there already, with the remote added."""
        work = Work(self, self.desk / name)
        work.git("remote", "add", "paas", self.url()).ok()
        return work

    def repository(self, app: str = "hello") -> Path:
        return self.config.repository(app)

    def ref(self, name: str, app: str = "hello") -> str | None:
        return repository.read_ref(self.repository(app), name)

    def hook_lines(self) -> list[str]:
        """What hooks have read, and forget it."""
        path = self.apps.record / "lines"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def hook_env(self) -> dict[str, str]:
        pairs = (line.partition("=") for line in (self.apps.record / "env").read_text().splitlines())
        return {name: value for name, _, value in pairs}

    def leftovers(self, app: str = "hello") -> list[str]:
        """What a push that failed must not leave behind: quarantines, locks, temporary packs."""
        entries = (Path(root, name) for root, dirs, files in os.walk(self.repository(app)) for name in dirs + files)
        return [str(path) for path in entries if path.name.startswith("tmp_") or path.suffix == ".lock"]

    def fsck(self, app: str = "hello") -> None:
        """The repository is whole by stock git's judgement."""
        run(["git", f"--git-dir={self.repository(app)}", "fsck", "--full", "--strict", "--no-dangling"]).ok()


_PERSON = {"NAME": "Ann", "EMAIL": "ann@example.com", "DATE": "1700000000 +0000"}


@dataclass
class Work:
    """A working copy of the client's."""

    door: Door
    path: Path
    key: str = "laptop"

    def git(self, *arguments: str, env: dict[str, str] | None = None, **how: object) -> Done:
        return run(["git", *arguments], cwd=self.path, env=self.door.git_env(self.key) | (env or {}), **how)

    def commit(self, text: str = "one", name: str = "file.txt") -> str:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)
        self.git("add", "-A").ok()
        self.git("commit", "-q", "-m", text).ok()
        return self.head()

    def head(self, name: str = "HEAD") -> str:
        return self.git("rev-parse", name).ok().out.strip()

    def push(self, *arguments: str, **how: object) -> Done:
        return self.git("push", "paas", *arguments, **how)


@dataclass
class Done:
    """How a client ended."""

    code: int
    out: str
    err: str

    def ok(self) -> Done:
        assert self.code == 0, f"exit {self.code}\n{self.out}\n{self.err}"
        return self

    def failed(self, code: int | None = None) -> Done:
        assert self.code != 0 if code is None else self.code == code, f"exit {self.code}\n{self.out}\n{self.err}"
        return self


def run(
    argv: Sequence[str | Path],
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: str | bytes = "",
    timeout: float = 120,
) -> Done:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    ended = subprocess.run(argv, cwd=cwd, env=env, input=data, capture_output=True, timeout=timeout)
    return Done(ended.returncode, ended.stdout.decode("utf-8", "replace"), ended.stderr.decode("utf-8", "replace"))


def eventually(check: Callable[[], object], seconds: float = 60) -> None:
    """Until `check` holds, or the test fails."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def flow(config: Config) -> Iterator[Flow]:
    """With an app `hello` that nothing was pushed to."""
    with flows.fresh(config) as made:
        yield made


@pytest.fixture
def images(flow: Flow) -> Images:
    """Its builders and runtime are those of images, without an engine."""
    return flows.with_images(flow)


@pytest.fixture
def open_door(config: Config, tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Start a server with these settings changed. One a test."""
    stack: list[Callable[[], None]] = []

    def start(execute: Callable[..., int] = echo, **settings: object) -> Door:
        chosen = replace(config, **{"ssh_port": 0, "login_grace": 200} | settings)
        chosen.repos.mkdir(parents=True)
        database = store.connect(chosen.database, chosen.secret_key)
        stack.append(database.close)
        desk, record = tmp_path / "desk", tmp_path / "record"
        desk.mkdir()
        record.mkdir()
        apps = StubApps(chosen, record)
        server = SshServer(SimpleNamespace(config=chosen, store=database), execute, apps)
        server.start()
        stack.append(lambda: eventually(lambda: server._services.orphans.reap() == 0))
        stack.append(server.stop)
        door = Door(chosen, server, apps, database, desk)
        door.add_key("laptop")
        return door

    before = threading.active_count()
    yield start
    while stack:
        stack.pop()()
    eventually(lambda: threading.active_count() <= before)


@pytest.fixture
def door(open_door: Callable[..., Door]) -> Door:
    """A running server with one admin key, `laptop`."""
    return open_door()


@pytest.fixture
def work(door: Door) -> Work:
    """A repository of the client's with one commit."""
    work = door.clone()
    work.commit()
    return work
