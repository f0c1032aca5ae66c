"""The flow without a server: real git, SQLite, processes and routes; pushes by calling what the hook calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from fakes import CopyingBuilder, FolderImages, UnpackingRuntime
from instances import until
from sinks import Lines

from gitpaas import apps, platform, receive, store
from gitpaas.apps import configvars
from gitpaas.config import Config
from gitpaas.git import repository
from gitpaas.git.repository import Move
from gitpaas.instances.reconcile import Reconciler
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.receive import Push
from gitpaas.router.caddy import CaddyRouter
from gitpaas.runtimes.host import HostRuntime
from gitpaas.store import App, Build, Release
from gitpaas.values import Actor, Instance

ALICE, BOB = Actor("alice", "deploy", "alice"), Actor("bob", "deploy", "bob")
MAIN = "refs/heads/main"
WEB = "web: exec python3 -I -S serve.txt\n"
WORKER = "worker: exec sleep 600\n"
SERVER = """
import os, pathlib, socket, time
exec(pathlib.Path("first.py").read_text() if pathlib.Path("first.py").exists() else "")
with socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=50) as server:
    while True:
        connection, _ = server.accept()
        request = connection.recv(4096)
        if b"/stay" in request:
            kept = connection
            continue
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n" + os.environ.get("TEXT", "").encode())
        connection.close()
"""


@dataclass
class Flow:
    """A platform, one app `hello`, and a reconciler that runs when a test says so."""

    platform: Platform
    reconciler: Reconciler
    told: list[str]
    lines: Lines = field(default_factory=Lines)

    @property
    def config(self) -> Config:
        return self.platform.config

    @property
    def out(self) -> Output:
        return Output(self.lines)

    @property
    def app(self) -> App:
        return App.get(App.name == "hello")

    def commit(self, procfile: str = WEB, parent: str | None = None, **files: str) -> str:
        """A commit on `parent` (main): a web server of a few lines, and `files` (first_py: run before it listens). No
        two have the same tree, unless `files` says what makes them differ (unique_txt)."""
        path = self.config.repository("hello")
        tree = self._tree({"Procfile": procfile, "serve.txt": SERVER, "unique_txt": uuid4().hex} | files)
        base = parent or self.ref(MAIN)
        parents = ["-p", base] if base else []
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        return repository.git(path, *who, "commit-tree", tree, *parents, "-m", "change").strip()

    def _tree(self, files: Mapping[str, str]) -> str:
        """A tree object; `web/Procfile` is in a tree of its own, and a text `-> there` makes a link."""
        path, entries = self.config.repository("hello"), []
        folders = {name.partition("/")[0] for name in files if "/" in name}
        for folder in folders:
            inside = {
                name.removeprefix(f"{folder}/"): text for name, text in files.items() if name.startswith(f"{folder}/")
            }
            entries.append(f"040000 tree {self._tree(inside)}\t{folder}\n")
        for name, text in files.items():
            if "/" not in name:
                mode, text = ("120000", text[3:]) if text.startswith("-> ") else ("100644", textwrap.dedent(text))
                blob = repository.git(path, "hash-object", "-w", "--stdin", stdin=text.encode()).strip()
                entries.append(f"{mode} blob {blob}\t{name.replace('_', '.')}\n")
        return repository.git(path, "mktree", stdin="".join(sorted(entries)).encode()).strip()

    def push(self, commit: str, actor: Actor = ALICE, lines: Lines | None = None, *, again: bool = False) -> int:
        """What git's answer is made of. `again`: as ps:rebuild does it."""
        push = self.pushed(commit, actor)
        if again:
            push = replace(push, moves=(Move(MAIN, commit, commit),), deferred=False)
        return receive.receive(self.platform, push, lines or self.lines)

    def pushed(self, commit: str, actor: Actor = ALICE) -> Push:
        old = self.ref(MAIN) or "0" * 40
        return Push("hello", (Move(MAIN, old, commit),), actor, deferred=True)

    def deploy(self, procfile: str = WEB, **files: str) -> Release:
        """Push a new commit; it must go live."""
        assert self.push(self.commit(procfile, **files)) == 0, self.lines.text
        return self.live

    @property
    def live(self) -> Release:
        return Release.get(Release.app == self.app, Release.number == self.app.release)

    def variables(self, release: Release | None = None) -> dict[str, str]:
        """Today's config vars, or those of a release."""
        found = (
            configvars.of_release(self.platform, release) if release else configvars.current(self.platform, self.app)
        )
        return {name: value.reveal() for name, value in found.items()}

    def release(self, number: int) -> Release:
        return Release.get(Release.app == self.app, Release.number == number)

    def last_build(self) -> Build:
        return Build.select().order_by(Build.id.desc()).first()

    def ref(self, name: str) -> str | None:
        return repository.read_ref(self.config.repository("hello"), name)

    def held(self) -> str:
        """Hidden refs of builds that are under way."""
        return repository.git(self.config.repository("hello"), "for-each-ref", "refs/builds")

    @property
    def route(self) -> Sequence[str] | str | None:
        return self.platform.router.routes().get(self.config.host("hello"))

    def running(self) -> list[Instance]:
        return [i for i in self.platform.runtime.running("hello") if i.state == "running"]

    def labels(self) -> list[str]:
        """["web.1 v2", ...]: what runs."""
        return sorted(f"{i.label} v{i.release}" for i in self.running())

    def reconcile(self, until_true: Any = None) -> None:
        """One round, or rounds until something is so."""
        self.reconciler.run_once()
        if until_true is not None:
            until(lambda: self.reconciler.run_once() or until_true(), told=self.labels)

    def routed_releases(self) -> set[int]:
        return {i.release for i in self.running() if i.address in (self.route or ())}

    def crash(self, instance: Instance) -> None:
        """End it from outside, as a fault of its own would."""
        pid = (self.config.run / "instances" / f"{instance.id}.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        until(lambda: instance.id not in [i.id for i in self.running()])

    def process(self, code: str) -> subprocess.Popen[str]:
        """Another process of the same state directory, in which `flow` is this and SIGTERM is the deploy's."""
        script = "import sys; sys.path[:0] = {path!r}\nimport os, signal, time\nfrom gitpaas.config import load\n"
        script += "import flow as flows\nwith flows.opened(load({environ!r})) as flow:\n{code}"
        text = script.format(
            path=sys.path, environ=dict(self.config.environ), code=textwrap.indent(textwrap.dedent(code), "    ")
        )
        return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, start_new_session=True)


@dataclass
class Images:
    """What a server with Docker has, without Docker."""

    store: FolderImages
    dockerfile: CopyingBuilder
    railpack: CopyingBuilder


def with_images(flow: Flow) -> Images:
    """From now on it is a server that builds and runs images."""
    store = FolderImages(flow.config.home / "images")
    made = Images(
        store, CopyingBuilder("dockerfile", "Dockerfile", store), CopyingBuilder("railpack", "Procfile", store)
    )
    before = flow.platform
    flow.platform = replace(before, runtime=UnpackingRuntime(before.runtime, store))  # type: ignore[arg-type]
    flow.platform.__dict__["artifacts"] = {**before.artifacts, "image": store}
    flow.platform.__dict__["builders"] = (made.dockerfile, made.railpack, *before.builders)
    flow.reconciler = Reconciler(flow.platform, lambda app, text: flow.told.append(text))
    return made


@contextmanager
def meanwhile(flow: Flow, work: Callable[[Flow], object]) -> Iterator[None]:
    """`work` in a thread of its own, as the server runs commands; what it raises is raised at the end."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            with flow.platform.store.session():
                work(flow)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(100)
    assert not thread.is_alive()
    assert not raised, raised


@contextmanager
def opened(config: Config) -> Iterator[Flow]:
    """Whatever is there, in a session of this thread."""
    platform.prepare(config)
    database = store.connect(config.database, config.secret_key)
    made = Platform(config, database, HostRuntime(config), CaddyRouter(config.routes))
    told: list[str] = []
    with database.session():
        yield Flow(made, Reconciler(made, lambda app, text: told.append(text)), told)
    database.close()


@contextmanager
def fresh(config: Config, **settings: Any) -> Iterator[Flow]:
    """With an app `hello` that nothing was pushed to. All that runs is stopped at the end."""
    quick = {"stop_grace": 1, "drain_timeout": 3, "start_timeout": 60} | settings
    environ = dict(config.environ) | {f"GITPAAS_{name.upper()}": str(value) for name, value in quick.items()}
    with opened(replace(config, environ=environ, **quick)) as flow:
        apps.create(flow.platform, "hello", ALICE)
        try:
            yield flow
        finally:
            until(lambda: not flow.reconciler._stopping)
            for instance in flow.platform.runtime.running():
                flow.platform.runtime.stop(instance, grace=0)
