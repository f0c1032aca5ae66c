"""A whole gitpaas as its user meets it: the real server, git and ssh from outside, a home directory of its own."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import engine
import processes
import users
from ports import free_port

from .programs import Background, Result, run, wait_until

GITPAAS = Path(sys.executable).parent / "gitpaas"
SITE = Path(__file__).parent / "site"  # an app for these tests: plain Python behind a Procfile
VALVE = Path(__file__).parent / "valve.py"
DOCKERFILE = """\
FROM python:3.11-slim
WORKDIR /app
ENV HOST=0.0.0.0
COPY . .
"""

_PASSED_ON = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    headers: Mapping[str, str]


class World:
    """One state directory and its server. `settings` are GITPAAS_ variables without their prefix."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.root = root
        self.home = root / "state"
        self.user = root / "user"
        self.ssh_port, self.http_port = free_port(), free_port()
        self.https_port = int(str(settings.get("HTTPS_PORT", 0)))
        self.runtime = str(settings.get("RUNTIME", "host"))
        self.slot = users.slot()
        self.env = self._environment(settings)
        self.process: subprocess.Popen[bytes] | None = None
        self._names = 0
        self._background: list[Background] = []
        self._make_user()

    # The server

    def start(self, seconds: float = 120) -> None:
        """Run `gitpaas serve` until it says that it is ready."""
        log = self.root / "serve.out"
        with log.open("wb") as out, (self.root / "serve.err").open("ab") as err:
            self.process = subprocess.Popen(
                [GITPAAS, "serve"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.env, cwd=self.root
            )
        wait_until(lambda: self._is_ready(log), "the server to be ready", seconds=seconds)

    def kill(self) -> None:
        """SIGKILL of the server alone."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and its exit status must be 0."""
        assert self.process
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0

    def close(self) -> None:
        """Nothing of this world keeps running, whatever the test has done to it."""
        for began in self._background:
            began.kill()
        try:
            if self.process and self.process.poll() is None:
                self._terminate(self.process)
        finally:
            self.gitpaas("stop", "--apps")
            self.kill_all()
            if self.runtime == "docker":
                engine.clear(self.identity)
            users.give_back(self.slot)

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    @property
    def identity(self) -> str:
        """What the label gitpaas.home of everything of this world says."""
        return hashlib.sha256(os.fsencode(self.home.resolve())).hexdigest()[:12]

    def pids(self, *words: str) -> list[int]:
        """Processes of this world (its state directory is in their environment or argv) with `words` in their argv."""
        mark = str(self.home).encode()
        inside = {pid for pid, text in processes.read_all("environ") if mark in text}
        lines = {pid: line for pid, line in processes.read_all("cmdline") if pid in inside or mark in line}
        return [pid for pid, line in lines.items() if all(word.encode() in line for word in words)]

    def kill_all(self, *words: str) -> int:
        """SIGKILL for those; how many there were."""
        pids = self.pids(*words)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return len(pids)

    def threads(self) -> set[str]:
        """The server's, by their ids."""
        assert self.process
        return {entry.name for entry in Path(f"/proc/{self.process.pid}/task").iterdir()}

    def childrens_ticks(self) -> int:
        """CPU time of all programs that the server has started and waited for."""
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[13]) + int(fields[14])

    # The user's side

    def gitpaas(self, *args: str) -> Result:
        """A command on the machine itself."""
        return run([str(GITPAAS), *args], env=self.env)

    def ssh(self, *args: str, stdin: str = "", timeout: float = 120) -> Result:
        """`ssh paas ARGS`, the two streams apart."""
        return run(["ssh", "-F", str(self.ssh_config), "paas", *args], env=self.env, stdin=stdin, timeout=timeout)

    def ssh_json(self, *args: str) -> Any:
        done = self.ssh(*args, "--format", "json")
        assert done.code == 0, done
        return json.loads(done.output)

    def begin_ssh(self, *args: str) -> Background:
        return self.begin(["ssh", "-F", str(self.ssh_config), "paas", *args])

    def begin(self, argv: Sequence[str], cwd: Path | None = None, **env: str) -> Background:
        """A program of the user's that runs while the test goes on."""
        began = Background(argv, self.env | env, self.root / f"background-{len(self._background)}", cwd)
        self._background.append(began)
        return began

    def get(self, app: str, path: str = "/", timeout: float = 60) -> Answer:
        """What the app's URL answers."""
        return self.get_from(f"{app}.localhost", path, timeout)

    def get_from(self, host: str, path: str = "/", timeout: float = 60) -> Answer:
        """What the router answers for a host."""
        with closing(self.connect(timeout)) as connection:
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(), dict(response.headers))

    def routes(self, app: str) -> bool:
        """Whether the router answers for it at all."""
        try:
            return self.get(app, timeout=1).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def connect(self, timeout: float = 60) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout)

    def new_app(self, files: Mapping[str, str] | None = None, name: str | None = None) -> AppRepo:
        """A committed repository with these files (the test site when none), its remote `paas` set, not pushed."""
        self._names += 1
        app = AppRepo(self, name or f"app{self._names}-{secrets.randbelow(10**6)}")
        app.commit(self.site() if files is None else files)
        return app

    def site(self, text: str = "version 1") -> dict[str, str]:
        """The test site as this world's runtime takes it."""
        return site(text, **({"Dockerfile": DOCKERFILE} if self.runtime == "docker" else {}))

    @property
    def ssh_config(self) -> Path:
        return self.user / "ssh_config"

    def new_key(self, name: str, *options: str) -> Path:
        """A key that the server knows; the private half's path."""
        key = self.user / name
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], env=self.env, check=True)
        added = self.gitpaas("keys:add", name, f"{key}.pub", *options)
        assert added.code == 0, added
        return key

    def _environment(self, settings: Mapping[str, object]) -> dict[str, str]:
        # Worlds run at the same time on one machine, so each has app ports and user ids of its own.
        chosen = {
            "HOME": self.home,
            "SSH_PORT": self.ssh_port,
            "HTTP_PORT": self.http_port,
            "APP_PORTS": f"{20000 + self.slot * 100}-{20099 + self.slot * 100}",
            "APP_UID_BASE": 100_000 + self.slot * 1000,
            "START_TIMEOUT": 60,
            "DRAIN_TIMEOUT": 5,
            "STOP_GRACE": 2,
            "LOGIN_GRACE": 200,
            "RUNTIME": "host",
        } | settings
        ours = {f"GITPAAS_{name}": str(value) for name, value in chosen.items()}
        git = {
            f"GIT_{who}_{what}": "tester@example.invalid"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        return {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            **git,
            **ours,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSH_COMMAND": f"ssh -F {self.ssh_config}",
            "HOME": str(self.user),
            "LANG": "C.UTF-8",
        }

    def _make_user(self) -> None:
        self.user.mkdir(parents=True)
        assert self.gitpaas("init").code == 0
        key = self.new_key("tester")
        host_key = run(["ssh-keygen", "-y", "-f", str(self.home / "ssh_host_ed25519_key")], env=self.env, check=True)
        (self.user / "known_hosts").write_text(f"paas {host_key.output}")
        options = {
            "HostName": "127.0.0.1",
            "Port": self.ssh_port,
            "User": "git",
            "IdentityFile": key,
            "IdentitiesOnly": "yes",
            "HostKeyAlias": "paas",
            "UserKnownHostsFile": self.user / "known_hosts",
        }
        lines = "".join(f"  {name} {value}\n" for name, value in options.items())
        self.ssh_config.write_text(f"Host paas\n{lines}")

    def _is_ready(self, log: Path) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.root / "serve.err").read_text()[-3000:]
        https = f" https=127.0.0.1:{self.https_port}" if self.https_port else ""
        return f"ready ssh=127.0.0.1:{self.ssh_port} http=127.0.0.1:{self.http_port}{https}\n" in log.read_text()


class AppRepo:
    """The user's clone of one app."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.path = world.user / name
        self.path.mkdir()
        self.git("init", "-q")
        self.git("symbolic-ref", "HEAD", "refs/heads/main")
        self.git("remote", "add", "paas", f"paas:{name}")

    def git(self, *args: str) -> str:
        return run(["git", *args], env=self.world.env, cwd=self.path, check=True).output.strip()

    def commit(self, files: Mapping[str, str], message: str = "A change") -> str:
        """Write, commit, and return the commit's id."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def push(self, *args: str, timeout: float = 200) -> Result:
        """`git push paas ARGS` (main when none), both streams in `output`."""
        return run(
            ["git", "push", "paas", *(args or ("main",))],
            env=self.world.env,
            cwd=self.path,
            merge=True,
            timeout=timeout,
        )

    def deploy(self, files: Mapping[str, str] | None = None) -> Result:
        """Commit the files, push, and insist that it worked."""
        if files is not None:
            self.commit(files)
        pushed = self.push()
        assert pushed.code == 0, pushed.output
        return pushed

    def begin_push(self, *args: str) -> Background:
        return self.world.begin(["git", "push", "paas", *(args or ("main",))], cwd=self.path)

    def begin_push_that_is_held(self, after: int) -> Background:
        """A push of which the server gets so many bytes and no more."""
        valve = [sys.executable, str(VALVE), str(self.world.ssh_port), str(after)]
        ssh = ["ssh", "-F", str(self.world.ssh_config), "-o", f"ProxyCommand={shlex.join(valve)}"]
        return self.world.begin(["git", "push", "paas", "main"], cwd=self.path, GIT_SSH_COMMAND=shlex.join(ssh))

    def remote_main(self) -> str | None:
        """Where the server says that main is."""
        line = self.git("ls-remote", "paas", "refs/heads/main")
        return line.split()[0] if line else None

    def get(self, path: str = "/") -> Answer:
        return self.world.get(self.name, path)

    def ssh(self, command: str, *args: str) -> Result:
        return self.world.ssh(command, self.name, *args)

    def builds(self) -> list[dict[str, Any]]:
        return list(self.world.ssh_json("builds", self.name))

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Until the site answers 200 with this text in it."""

        def is_there() -> bool:
            answer = self.get()
            return answer.status == 200 and text in answer.body

        wait_until(is_there, f"{text!r} from {self.name}", seconds)


def site(text: str = "version 1", **more: str) -> dict[str, str]:
    """The files of the test site; it answers / with `text`. `more`: further files, `__` in a name for the dot."""
    files = {path.name: path.read_text() for path in SITE.iterdir() if path.is_file()}
    return files | {"version.txt": text} | {name.replace("__", "."): content for name, content in more.items()}
