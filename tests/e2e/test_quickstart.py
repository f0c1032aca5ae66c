"""scripts/quickstart from a fresh clone, with a home directory of its own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import sys
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import engine
import processes
import pytest
from ports import free_port
from users import PLACE

from .programs import Result, run
from .screens import Screen, screen

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(1500)]

REPOSITORY = Path(__file__).parent.parent.parent
PASSED_ON = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "PIP_INDEX_URL", "HTTPS_PROXY", "TERM")


@dataclass(frozen=True)
class Newcomer:
    """A user with a fresh clone and nothing else."""

    clone: Path
    home: Path
    env: dict[str, str]

    def quickstart(self, *options: str) -> Result:
        argv = [str(self.clone / "scripts" / "quickstart"), *options]
        return run(argv, env=self.env, cwd=self.home, merge=True, timeout=600)

    @property
    def identity(self) -> str:
        """What marks everything of this user's server in the engine."""
        return hashlib.sha256(os.fsencode((self.home / ".gitpaas").resolve())).hexdigest()[:12]

    def in_engine(self) -> dict[str, int]:
        """How many containers, images, networks and volumes there are of it."""
        kinds = ("containers", "images", "networks", "volumes")
        return {kind: len(engine.labelled(kind, self.identity)) for kind in kinds}

    def page(self) -> str:
        port = self.env["GITPAAS_HTTP_PORT"]
        argv = ["curl", "-sS", "-H", "Host: hello.localhost", f"http://127.0.0.1:{port}/"]
        return run(argv, env=self.env).output

    def files(self) -> dict[str, tuple[int, str]]:
        """What a second run must leave as it is: the user's own files, by mode and content."""
        paths = [*(self.home / ".ssh").iterdir(), *(self.home / "gitpaas-hello").glob("*.*")]
        return {str(path): (path.stat().st_mode, path.read_text()) for path in paths if path.is_file()}


@pytest.fixture
def newcomer(short_directory: Path) -> Iterator[Newcomer]:
    home, clone = short_directory / "home", short_directory / "gitpaas"
    home.mkdir()
    run(["git", "clone", "-q", str(REPOSITORY), str(clone)], env=dict(os.environ), check=True)
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    ports = {"GITPAAS_SSH_PORT": str(free_port()), "GITPAAS_HTTP_PORT": str(free_port())}
    env |= ports | {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "GITPAAS_PYTHON": sys.executable}
    first = 30_000 + 100 * PLACE
    env |= {"GITPAAS_APP_UID_BASE": str(900_000 + 1000 * PLACE), "GITPAAS_APP_PORTS": f"{first}-{first + 99}"}
    env |= {"GITPAAS_RUNTIME": "host"}
    made = Newcomer(clone, home, env)
    try:
        yield made
    finally:
        if (clone / ".venv" / "bin" / "gitpaas").exists():
            run([str(clone / ".venv" / "bin" / "gitpaas"), "stop", "--apps"], env=env)


@pytest.fixture
def docker_newcomer(newcomer: Newcomer) -> Iterator[Newcomer]:
    """One who says nothing of a runtime, on a machine with Docker Engine."""
    newcomer.env.update(engine.variables())
    del newcomer.env["GITPAAS_RUNTIME"]
    try:
        yield newcomer
    finally:
        engine.clear(newcomer.identity)


@pytest.mark.needs("curl")
def test_from_a_fresh_clone_and_back(newcomer: Newcomer) -> None:
    first = newcomer.quickstart()

    assert first.code == 0, first.output
    url = f"http://hello.localhost:{newcomer.env['GITPAAS_HTTP_PORT']}"
    assert re.search(r"^remote: =====> hello v1 deployed", first.output, re.MULTILINE)
    assert re.search(rf"^{url} is live \((\d+) seconds\)", first.output, re.MULTILINE)
    assert "Hello from gitpaas" in newcomer.page()
    assert oct((newcomer.home / ".ssh" / "config").stat().st_mode)[-3:] == "600"
    before = newcomer.files()

    second = newcomer.quickstart()

    assert second.code == 0, second.output
    assert not re.search(r"^ +(made|wrote|added|started) ", second.output, re.MULTILINE), second.output
    assert newcomer.files() == before

    _remembers_its_ports(newcomer)
    _repairs_what_is_missing(newcomer)
    _renews_a_server_of_before_an_upgrade(newcomer)
    _pushes_a_change(newcomer)
    _stays_as_it_is_when_a_port_is_taken(newcomer)
    _goes_down_and_comes_back(newcomer)
    _asks_at_a_terminal_before_it_removes_all(newcomer)
    _has_https_when_asked_for_it(newcomer)
    _is_purged(newcomer)


def test_own_host_paas_is_not_overruled(newcomer: Newcomer) -> None:
    config = newcomer.home / ".ssh" / "config"
    config.parent.mkdir(mode=0o700)
    config.write_text("Host *\n  Port 22\nHost paas\n  HostName example.invalid\n")

    refused = newcomer.quickstart()

    assert refused.code == 1
    assert "--no-ssh-config" in refused.output
    assert config.read_text() == "Host *\n  Port 22\nHost paas\n  HostName example.invalid\n"

    worked = newcomer.quickstart("--no-ssh-config")
    assert worked.code == 0, worked.output
    assert config.read_text() == "Host *\n  Port 22\nHost paas\n  HostName example.invalid\n"
    with _at_a_terminal(newcomer, "--purge") as terminal:
        assert "Host paas" not in terminal.wait_for("Go on? [y/N] ")
        terminal.type("Yes\r")
        assert terminal.end() == 0, terminal.text
    assert not (newcomer.home / ".gitpaas").exists()
    with _at_a_terminal(newcomer, "--purge") as terminal:  # there is nothing to lose
        assert terminal.end(200) == 0, terminal.text
        assert "Go on?" not in terminal.text


def test_what_cannot_work_is_told_at_once_and_not_kept(newcomer: Newcomer) -> None:
    taken = newcomer.env["GITPAAS_HTTP_PORT"]
    impossible = {"GITPAAS_RUNTIME": "docker", "GITPAAS_DOCKER_HOST": "unix:///nowhere/docker.sock"}
    refused = Newcomer(newcomer.clone, newcomer.home, newcomer.env | impossible).quickstart()

    assert refused.code == 1
    assert "GITPAAS_RUNTIME=host scripts/quickstart" in refused.output
    assert not (newcomer.home / ".gitpaas").exists()

    with socket.create_server(("127.0.0.1", int(taken))):
        refused = newcomer.quickstart()

    assert refused.code == 1
    assert f"127.0.0.1:{taken} is taken by" in refused.output
    assert not (newcomer.home / ".gitpaas" / "gitpaas.toml").exists()
    assert newcomer.quickstart("--yes").code == 2  # to what?
    with _at_a_terminal(newcomer, "--purge", "--yes") as terminal:
        assert terminal.end() == 0, terminal.text
        assert "Go on?" not in terminal.text
    assert not (newcomer.home / ".gitpaas").exists()


@pytest.mark.needs("curl", "root", "docker", "railpack")
def test_with_docker_it_builds_an_image_and_leaves_nothing(docker_newcomer: Newcomer) -> None:
    newcomer = docker_newcomer
    first = newcomer.quickstart()

    assert first.code == 0, first.output
    assert re.search(r"^ +chose +runtime docker: Docker Engine answers at ", first.output, re.MULTILINE)
    assert "(Railpack 0." in first.output
    assert "Hello from gitpaas" in newcomer.page()
    assert newcomer.in_engine() == {"containers": 1, "images": 1, "networks": 1, "volumes": 0}

    _remembers_its_runtime(newcomer)
    _pushes_a_change(newcomer)
    _goes_down_and_comes_back(newcomer)
    _gives_it_storage(newcomer)
    (newcomer.home / ".ssh" / "config").write_text("Host *\n  Port 1\n")
    _is_purged(newcomer)
    assert newcomer.in_engine() == {"containers": 0, "images": 0, "networks": 0, "volumes": 0}


def _remembers_its_runtime(newcomer: Newcomer) -> None:
    """And where images come from, in the next shell."""
    bare = {name: value for name, value in newcomer.env.items() if name not in engine.variables()}
    later = Newcomer(newcomer.clone, newcomer.home, bare).quickstart()

    assert later.code == 0, later.output
    assert not re.search(r"^ +(made|wrote|added|started|chose) ", later.output, re.MULTILINE), later.output
    assert tomllib.loads((newcomer.home / ".gitpaas" / "gitpaas.toml").read_text())["tools"] == str(engine.TOOLS)


def _gives_it_storage(newcomer: Newcomer) -> None:
    gitpaas = str(newcomer.clone / ".venv" / "bin" / "gitpaas")
    for argv in (["storage:mount", "hello", "data:/data"], ["ps:restart", "hello"]):
        done = run([gitpaas, *argv], env=newcomer.env)
        assert done.code == 0, done
    assert newcomer.in_engine()["volumes"] == 1


def _remembers_its_ports(newcomer: Newcomer) -> None:
    """In the next shell, which has no variables of ours."""
    bare = {name: value for name, value in newcomer.env.items() if not name.endswith("_PORT")}
    later = Newcomer(newcomer.clone, newcomer.home, bare).quickstart()

    assert later.code == 0, later.output
    assert f"   ready  server: ssh 127.0.0.1:{newcomer.env['GITPAAS_SSH_PORT']}, " in later.output


def _repairs_what_is_missing(newcomer: Newcomer) -> None:
    (newcomer.home / ".ssh" / "config").write_text("Host *\n  Port 1\n")
    shutil.rmtree(newcomer.home / "gitpaas-hello")

    repaired = newcomer.quickstart()

    assert repaired.code == 0, repaired.output
    assert "wrote" in repaired.output
    assert (newcomer.home / ".ssh" / "config").read_text().endswith("Host *\n  Port 1\n")
    config = newcomer.home / ".ssh" / "config"
    assert run(["ssh", "-F", str(config), "paas", "version"], env=newcomer.env).code == 0


def _renews_a_server_of_before_an_upgrade(newcomer: Newcomer) -> None:
    (newcomer.clone / "gitpaas" / "new.py").touch()
    gitpaas = str(newcomer.clone / ".venv" / "bin" / "gitpaas")
    assert "gitpaas restart" in run([gitpaas, "status"], env=newcomer.env).output

    renewed = newcomer.quickstart()

    assert renewed.code == 0, renewed.output
    assert re.search(r"^ +renewed  server: ", renewed.output, re.MULTILINE), renewed.output
    assert "gitpaas restart" not in run([gitpaas, "status"], env=newcomer.env).output


def _pushes_a_change(newcomer: Newcomer) -> None:
    """As the last lines of the quickstart say it, typed in the sample's directory."""
    sample = newcomer.home / "gitpaas-hello"
    app = sample / "app.py"
    app.write_text(app.read_text().replace("Hello from gitpaas", "Good evening"))
    run(["git", "commit", "-qam", "A new greeting"], env=newcomer.env, cwd=sample, check=True)
    pushed = run(["git", "push", "paas", "main"], env=newcomer.env, cwd=sample, merge=True)
    assert pushed.code == 0, pushed.output
    assert "Good evening" in newcomer.page()


def _goes_down_and_comes_back(newcomer: Newcomer) -> None:
    down = newcomer.quickstart("--down")
    assert down.code == 0, down.output
    assert _processes_of(newcomer) == []

    up = newcomer.quickstart()
    assert up.code == 0, up.output
    assert "Good evening" in newcomer.page()


def _asks_at_a_terminal_before_it_removes_all(newcomer: Newcomer) -> None:
    for answer in ("\r", "n\r", "maybe\r", "\x04"):
        with _at_a_terminal(newcomer, "--purge") as terminal:
            shown = terminal.wait_for("Go on? [y/N] ")
            terminal.type(answer)
            assert terminal.end() == 1
            assert "Nothing was removed" in terminal.text
    for told in (
        "~/.gitpaas: hello, with source,",
        "~/gitpaas-hello: the",
        "Host paas block in ~/.ssh/config",
        ".venv",
    ):
        assert told in shown
    assert "Good evening" in newcomer.page()


def _at_a_terminal(newcomer: Newcomer, *options: str) -> AbstractContextManager[Screen]:
    argv = [newcomer.clone / "scripts" / "quickstart", *options]
    return screen(argv, newcomer.env, columns=120, rows=40)


def _stays_as_it_is_when_a_port_is_taken(newcomer: Newcomer) -> None:
    """Whether all of the server must move for it, or another setting has changed as well."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for more in ({"GITPAAS_HTTPS_PORT": port}, {"GITPAAS_SSH_PORT": port, "GITPAAS_BASE_DOMAIN": "x.test"}):
            refused = Newcomer(newcomer.clone, newcomer.home, newcomer.env | more).quickstart()
            assert refused.code == 1
            assert f"127.0.0.1:{port} is taken by" in refused.output
            assert f"choose another port, for example {next(iter(more))}=" in refused.output
        gitpaas = str(newcomer.clone / ".venv" / "bin" / "gitpaas")
        assert run([gitpaas, "restart"], env=newcomer.env | {"GITPAAS_HTTPS_PORT": port}).code == 1
    assert run([gitpaas, "status"], env=newcomer.env).code == 0
    assert "Good evening" in newcomer.page()


def _has_https_when_asked_for_it(newcomer: Newcomer) -> None:
    """As README has it: and the next shell knows of it."""
    port = str(free_port())
    for env in (newcomer.env | {"GITPAAS_HTTPS_PORT": port}, newcomer.env):
        up = Newcomer(newcomer.clone, newcomer.home, env).quickstart()
        assert up.code == 0, up.output
        assert f"https 127.0.0.1:{port}" in up.output
        assert f"https://hello.localhost:{port} is live" in up.output
        assert "paas certificates:root" in up.output
    root = newcomer.home / "gitpaas.crt"
    config = newcomer.home / ".ssh" / "config"
    root.write_text(run(["ssh", "-F", str(config), "paas", "certificates:root"], env=newcomer.env).output)
    name = f"hello.localhost:{port}"
    argv = ["curl", "-sS", "--cacert", str(root), "--resolve", f"{name}:127.0.0.1", f"https://{name}/"]
    assert "Good evening" in run(argv, env=newcomer.env).output


def _is_purged(newcomer: Newcomer) -> None:
    purged = newcomer.quickstart("--purge")

    assert purged.code == 0, purged.output
    assert _processes_of(newcomer) == []
    assert (newcomer.home / ".ssh" / "config").read_text() == "Host *\n  Port 1\n"
    for gone in (newcomer.home / ".gitpaas", newcomer.home / "gitpaas-hello", newcomer.clone / ".venv"):
        assert not gone.exists()
        assert f" removed  {gone}\n".replace(str(newcomer.home), "~") in purged.output


def _processes_of(newcomer: Newcomer) -> list[bytes]:
    """Command lines of what still runs from the clone or its state."""
    return [*processes.mentioning(newcomer.clone).values(), *processes.mentioning(newcomer.home).values()]
