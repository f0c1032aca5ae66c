"""What every builder of slugs promises, over the apps of tests/apps: as plain processes, and confined as the app's own
user. Builds of one app share their cache, as they do on a server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import samples
import users
from instances import Sleeper, until
from ports import free_port
from sinks import Lines

from gitpaas import linux
from gitpaas.builders import BUILDERS, Builder
from gitpaas.config import Config, load
from gitpaas.errors import BuildFailed
from gitpaas.output import Output
from gitpaas.values import Artifact, BuildRequest, Limits, Secret

UID = users.BUILDS
NETWORK = ("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")

pytestmark = [pytest.mark.needs("git"), pytest.mark.timeout(600)]


@dataclass
class Site:
    """One builder in one state directory, for one user (None: unconfined)."""

    builder: Builder
    config: Config
    uid: int | None

    def build(
        self, app: str, files: Path, *, env: Mapping[str, str | Secret] | None = None, timeout: float = 200
    ) -> tuple[Artifact, str]:
        """The artifact of one more build of `app`, and what was shown meanwhile."""
        seen = Lines()
        artifact = self.builder.build(self.request(app, files, env=env, timeout=timeout), Output(seen))
        return artifact, seen.text

    def request(
        self, app: str, files: Path, *, env: Mapping[str, str | Secret] | None = None, timeout: float = 200
    ) -> BuildRequest:
        number = time.time_ns()
        tree, cache = self.config.slug(app, number), self.config.cache(app)
        shutil.copytree(files, tree, symlinks=True)
        cache.mkdir(parents=True, exist_ok=True)
        if self.uid is not None:
            for path in (cache, tree, *tree.rglob("*")):
                os.chown(path, self.uid, self.uid, follow_symlinks=False)
        return BuildRequest(
            app=app,
            build=number,
            commit="c" * 40,
            tree=tree,
            cache=cache,
            env={**self.config.build_environment(), **(env or {})},
            uid=self.uid,
            timeout=timeout,
            limits=Limits(memory=2 << 30),
        )

    @contextmanager
    def running(self, artifact: Artifact, process: str = "web") -> Iterator[str]:
        """The address of a started process, as the host runtime would start it."""
        port = free_port()
        env = {
            **artifact.env,
            "PORT": str(port),
            "GITPAAS_PROCESS": f"{process}.1",
            "HOME": "/app" if self.uid else artifact.reference,
        }
        argv = ["/bin/sh", "-c", artifact.processes[process]]
        if self.uid is not None:
            argv = linux.confine(argv, linux.Sandbox(self.uid, Path(artifact.reference), mounts=artifact.mounts))
            env = linux.carry(env)
        child = subprocess.Popen(argv, env=env, cwd=artifact.reference, start_new_session=True)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and body, once somebody listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, headers={"Host": "hello.localhost"} | dict(headers or {})), timeout=5
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Config], Builder], int | None], Site]:
    """A site per builder and user, its caches and toolchains shared by all tests."""
    made: dict[tuple[object, int | None], Site] = {}

    def site(make: Callable[[Config], Builder], uid: int | None) -> Site:
        if (make, uid) not in made:
            home = tmp_path_factory.mktemp("home")
            environ = {name: os.environ[name] for name in ("PATH", "HOME", *NETWORK) if name in os.environ}
            config = load({**environ, "GITPAAS_HOME": str(home)})
            for directory in (config.toolchain, config.locks):
                directory.mkdir(mode=0o700)
            made[make, uid] = Site(make(config), config, uid)
        return made[make, uid]

    return site


@pytest.fixture(params=[one for one in BUILDERS if one.kind == "slug"], ids=lambda one: one.name)
def make(request: pytest.FixtureRequest) -> Callable[[Config], Builder]:
    return request.param.load


@pytest.fixture(params=[None, pytest.param(UID, marks=pytest.mark.needs("sandbox"))], ids=["plain", "confined"])
def site(request: pytest.FixtureRequest, make: Callable[[Config], Builder], sites: Callable[..., Site]) -> Site:
    return sites(make, request.param)


@pytest.fixture
def plain(make: Callable[[Config], Builder], sites: Callable[..., Site]) -> Site:
    """Where being confined or not makes no difference."""
    return sites(make, None)


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """A directory with these files."""

    def make(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "src" / name).write_text(text)
        return tmp_path / "src"

    return make


# The apps


@pytest.mark.parametrize("name", samples.answers())
def test_an_app_that_builds_answers_as_expected(site: Site, tmp_path: Path, name: str) -> None:
    expected = samples.expected(name)
    files = samples.copy(name, tmp_path / "src")
    assert site.builder.detect(files)

    artifact, _ = site.build(name, files)

    assert artifact.processes["web"] == expected.get("web", artifact.processes["web"])
    assert sorted(artifact.processes) == expected.get("processes", ["web"])
    with site.running(artifact) as address:
        status, body = get(address + expected["path"])
    assert status == expected["status"]
    assert expected["body"] in body


@pytest.mark.parametrize("name", [name for name in samples.NAMES if "build" in samples.expected(name)])
def test_an_app_that_does_not_build_says_why(site: Site, tmp_path: Path, name: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        site.build(name, samples.copy(name, tmp_path / "src"))

    assert samples.expected(name)["says"] in caught.value.message
    assert caught.value.step
    assert 0 < len(caught.value.tail) <= 15


def test_a_tree_that_nothing_understands_is_not_detected(plain: Site, plant: Callable[..., Path]) -> None:
    files = plant({"README.md": "hello"})

    assert plain.builder.detect(files) is None
    with pytest.raises(BuildFailed, match="Nothing here says how to run this app"):
        plain.build("nothing", files)


# Caches


def test_a_changed_line_of_source_installs_nothing_again(site: Site, tmp_path: Path) -> None:
    files = samples.copy("flask", tmp_path / "src")
    first, _ = site.build("again", files)

    (files / "app.py").write_text((files / "app.py").read_text().replace("hello", "changed"))
    second, shown = site.build("again", files)

    assert "-----> Using cached dependencies (requirements.txt has not changed)" in shown
    assert "Installed" not in shown
    with site.running(second) as address:
        assert "changed from flask" in get(address)[1]
    with site.running(first) as address:
        assert "hello from flask" in get(address)[1]


def test_nothing_is_said_of_dependencies_where_there_are_none(site: Site, plant: Callable[..., Path]) -> None:
    files = plant({"Procfile": "web: python -m http.server $PORT\n", "lib.py": ""})

    _, first = site.build("none", files)
    _, second = site.build("none", files)

    for shown in (first, second):
        assert "(no dependencies)" in shown
        assert "dependencies (" not in shown.lower().replace("(no dependencies)", "")


def test_a_changed_requirement_installs_again_and_the_old_release_keeps_its_own(
    site: Site, tmp_path: Path, plant: Callable[..., Path]
) -> None:
    source = "import iniconfig, os\nprint(iniconfig.__file__, flush=True)\nos.execvp('sleep', ['sleep', '60'])\n"
    old, _ = site.build("upgrade", plant({"main.py": source, "requirements.txt": "iniconfig==2.0.0\n"}))

    new, shown = site.build("upgrade", plant({"main.py": source, "requirements.txt": "iniconfig==2.1.0\n"}))

    assert "+ iniconfig==2.1.0" in shown
    assert old.mounts != new.mounts
    assert list(Path(old.mounts[0].source).glob("lib/python*/site-packages/iniconfig-2.0.0.dist-info"))


def test_npm_installs_nothing_again_and_one_builds_files_are_not_anothers(site: Site, tmp_path: Path) -> None:
    files = samples.copy("express", tmp_path / "src")
    first, _ = site.build("npm-again", files)

    (files / "index.js").write_text((files / "index.js").read_text() + "// changed\n")
    second, shown = site.build("npm-again", files)

    assert "-----> Using cached node_modules (package-lock.json has not changed)" in shown
    module = "node_modules/express/index.js"
    assert (Path(first.reference) / module).stat().st_ino != (Path(second.reference) / module).stat().st_ino
    with site.running(second) as address:
        assert get(address)[0] == 200


def test_install_scripts_of_the_app_itself_see_each_builds_source(site: Site, plant: Callable[..., Path]) -> None:
    manifest = {"scripts": {"postinstall": "cp word.txt made.txt"}, "main": "a.js", "dependencies": {"ms": "2.1.3"}}
    files = plant({"package.json": json.dumps(manifest), "a.js": "", "word.txt": "one"})
    site.build("postinstall", files)

    artifact, shown = site.build("postinstall", plant({"word.txt": "two"}))

    assert "Using cached node_modules" in shown
    assert (Path(artifact.reference) / "made.txt").read_text() == "two"


# What a build sees

PROBE = {
    "package.json": json.dumps({"scripts": {"build": "sh probe.sh", "start": "node a.js"}}),
    "probe.sh": "env > seen.txt; id -u >> seen.txt; cat $SECRET_FILE >> seen.txt 2>&1; echo done",
}


def test_config_vars_reach_the_build_and_the_servers_environment_does_not(
    site: Site, plant: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_SERVER", "private")

    artifact, shown = site.build("env", plant(PROBE), env={"GREETING": "hello", "TOKEN": Secret("hunter2")})

    seen = (Path(artifact.reference) / "seen.txt").read_text()
    assert "GREETING=hello" in seen
    assert "TOKEN=hunter2" in seen
    assert "private" not in seen
    assert "GITPAAS" not in seen
    assert "hunter2" not in shown
    assert "TOKEN" not in artifact.env


@pytest.mark.needs("sandbox")
def test_a_confined_build_cannot_read_the_state_directory(
    make: Callable[[Config], Builder], sites: Callable[..., Site], plant: Callable[..., Path]
) -> None:
    site = sites(make, UID)
    secret = site.config.home / "secret.key"
    secret.write_text("the key")
    secret.chmod(0o644)

    artifact, _ = site.build("probe", plant(PROBE), env={"SECRET_FILE": str(secret)})

    seen = (Path(artifact.reference) / "seen.txt").read_text()
    assert f"\n{UID}\n" in seen
    assert "the key" not in seen
    assert "No such file" in seen or "ermission denied" in seen


@pytest.mark.needs("sandbox")
def test_a_confined_build_cannot_change_what_is_installed_for_another(
    make: Callable[[Config], Builder], sites: Callable[..., Site], plant: Callable[..., Path]
) -> None:
    site = sites(make, UID)
    files = plant({**PROBE, "requirements.txt": "iniconfig==2.1.0\n", "main.py": ""})
    first, _ = site.build("layers", files)
    layer = next(mount for mount in first.mounts if "/layers/" in mount.source)

    attack = f"touch {layer.source}/evil; touch {Path(layer.source).parent}/evil; ln -s /etc {layer.source}x; echo done"
    site.build("layers", plant({"probe.sh": attack}))

    assert not layer.writable
    assert not (Path(layer.source) / "evil").exists()
    assert sorted(path.name for path in Path(layer.source).parent.iterdir()) == [
        Path(layer.source).name,
        f"{Path(layer.source).name}.complete",
    ]


UNTIL_BEGUN = "while [ ! -e begun ]; do sleep 0.05; done"


def test_nothing_of_a_build_outlives_it(site: Site, plant: Callable[..., Path]) -> None:
    sleeper = Sleeper()
    files = plant({**PROBE, "probe.sh": f"(touch begun; {sleeper}; touch late) & {UNTIL_BEGUN}; echo started"})

    artifact, shown = site.build("background", files)

    assert "started" in shown
    until(lambda: not sleeper.is_alive)
    assert not (Path(artifact.reference) / "late").exists()


@pytest.mark.needs("sandbox")
def test_a_confined_build_cannot_take_all_processes_of_the_machine(
    make: Callable[[Config], Builder],
    sites: Callable[..., Site],
    plant: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gitpaas.builders.workshop._MOST_PROCESSES", 40)
    files = plant({**PROBE, "probe.sh": "for n in $(seq 60); do sleep 60 & done; wait"})

    with pytest.raises(BuildFailed) as caught:
        sites(make, UID).build("forks", files)

    assert "fork" in "".join(caught.value.tail)


def test_a_build_script_cannot_get_in_the_way_of_what_we_put_into_the_slug(
    site: Site, plant: Callable[..., Path]
) -> None:
    files = plant({**PROBE, "probe.sh": "mkfifo .venv; ln -s /nowhere .gitpaas", "requirements.txt": "", "a.js": ""})

    artifact, _ = site.build("pipe", files)

    assert (Path(artifact.reference) / ".venv").is_dir()


@pytest.mark.needs("sandbox")
def test_without_cgroups_nothing_of_a_confined_build_outlives_it_either(
    make: Callable[[Config], Builder],
    sites: Callable[..., Site],
    plant: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gitpaas.linux.hierarchies._place", lambda: None)
    sleeper = Sleeper()
    left = f"setsid env -i /bin/sh -c 'touch begun; {sleeper}; touch late'"
    files = plant({**PROBE, "probe.sh": f"{left} & {UNTIL_BEGUN}; echo started"})

    artifact, _ = sites(make, UID).build("background", files)

    until(lambda: not sleeper.is_alive)
    assert not (Path(artifact.reference) / "late").exists()


# Failures


def test_a_build_script_that_fails_shows_its_last_lines(site: Site, plant: Callable[..., Path]) -> None:
    script = "for n in $(seq 40); do echo line $n; done; echo 'Error: no such module' >&2; exit 7"

    with pytest.raises(BuildFailed) as caught:
        site.build("script", plant({**PROBE, "probe.sh": script}))

    assert caught.value.step == "npm run build"
    assert caught.value.message == "npm run build exited with 7"
    assert "Error: no such module" in caught.value.tail
    assert len(caught.value.tail) <= 15


def test_a_build_that_takes_too_long_is_ended(site: Site, plant: Callable[..., Path]) -> None:
    files = plant({**PROBE, "probe.sh": "echo started; sleep 600"})
    began = time.monotonic()

    with pytest.raises(BuildFailed, match="npm run build was still running after 15 seconds") as caught:
        site.build("slow", files, timeout=15)
    assert "build_timeout" in str(caught.value.hint)

    assert time.monotonic() - began < 100


def test_a_lock_file_that_does_not_match_is_told_in_words(plain: Site, tmp_path: Path) -> None:
    files = samples.copy("express", tmp_path / "src")
    manifest = json.loads((files / "package.json").read_text())
    manifest["dependencies"]["ms"] = "2.0.0"
    (files / "package.json").write_text(json.dumps(manifest))

    with pytest.raises(BuildFailed, match=r"package-lock\.json does not match package\.json") as caught:
        plain.build("mismatch", files)

    assert "npm install" in (caught.value.hint or "")


def test_a_uv_lock_that_does_not_match_is_told_in_words(plain: Site, tmp_path: Path) -> None:
    files = samples.copy("uv-lock", tmp_path / "src")
    text = (files / "pyproject.toml").read_text()
    (files / "pyproject.toml").write_text(text.replace("iniconfig==2.1.0", "iniconfig==2.0.0"))

    with pytest.raises(BuildFailed, match=r"uv\.lock does not match pyproject\.toml") as caught:
        plain.build("uv-mismatch", files)

    assert "uv lock" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("files", "env"),
    [
        (
            {"requirements.txt": "flask\n", "main.py": ""},
            {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"},
        ),
        (
            {"package.json": '{"dependencies": {"ms": "1"}, "main": "a.js"}', "a.js": ""},
            {"npm_config_registry": "http://127.0.0.1:9/", "npm_config_fetch_retries": "0"},
        ),
    ],
    ids=["uv", "npm"],
)
def test_a_registry_out_of_reach_is_not_the_apps_fault(
    plain: Site, plant: Callable[..., Path], files: Mapping[str, str], env: Mapping[str, str]
) -> None:
    with pytest.raises(BuildFailed, match="the package registry could not be reached") as caught:
        plain.build("unreachable", plant(files), env=env)

    assert "Nothing is wrong with the app" in (caught.value.hint or "")


def test_a_python_that_nobody_has_says_which_there_are(plain: Site, plant: Callable[..., Path]) -> None:
    with pytest.raises(BuildFailed, match=r"\.python-version asks for Python 3\.99") as caught:
        plain.build("python-399", plant({".python-version": "3.99\n", "main.py": ""}))

    assert "There is: 3." in (caught.value.hint or "")


def test_a_node_that_nobody_has_says_which_there_are(plain: Site, plant: Callable[..., Path]) -> None:
    manifest = json.dumps({"engines": {"node": "^99"}, "main": "a.js"})

    with pytest.raises(BuildFailed, match=r"engines\.node in package\.json asks for Node \^99") as caught:
        plain.build("node-99", plant({"package.json": manifest, "a.js": ""}))

    assert "There is: " in (caught.value.hint or "")


def test_an_app_without_a_start_is_told_before_anything_is_installed(plain: Site, plant: Callable[..., Path]) -> None:
    with pytest.raises(BuildFailed, match="nothing says how to start it") as caught:
        plain.build("no-start", plant({"requirements.txt": "flask\n", "library.py": ""}))

    assert "web: python server.py" in (caught.value.hint or "")


# Dependencies in the tree, two languages, other versions


def test_a_dependency_in_the_tree_is_seen_as_it_is_in_each_build(site: Site, plant: Callable[..., Path]) -> None:
    project = '[project]\nname = "lib"\nversion = "1"\n[build-system]\nrequires = ["hatchling"]\n'
    files = plant(
        {
            "requirements.txt": "./lib\n",
            "lib/pyproject.toml": project + 'build-backend = "hatchling.build"\n',
            "lib/lib/__init__.py": "word = 'one'\n",
            "main.py": "import lib, pathlib; pathlib.Path('out').write_text(lib.word)\n",
            "Procfile": "web: python -c 'import lib; print(lib.word)' > /tmp/x; python -m http.server $PORT\n",
        }
    )
    site.build("local", files)

    artifact, _ = site.build("local", plant({"lib/lib/__init__.py": "word = 'two'\n"}))

    installed = next(Path(artifact.reference).glob(".venv/lib/python*/site-packages/lib/__init__.py"))
    assert "two" in installed.read_text()


def test_node_makes_the_assets_and_python_serves_them(site: Site, plant: Callable[..., Path]) -> None:
    manifest = {"scripts": {"build": "mkdir -p assets && echo made > assets/app.js"}}
    source = (
        (samples.APPS / "python-plain/main.py")
        .read_text()
        .replace('b"hello from python\\n"', 'open("assets/app.js", "rb").read()')
    )

    artifact, _ = site.build(
        "both", plant({"package.json": json.dumps(manifest), "requirements.txt": "", "main.py": source})
    )

    assert artifact.label.startswith("Node ")
    assert " and Python " in artifact.label
    with site.running(artifact) as address:
        assert get(address) == (200, "made\n")


def test_a_node_the_machine_lacks_is_fetched_once(site: Site, plant: Callable[..., Path]) -> None:
    source = "require('http').createServer((q, s) => s.end(process.version)).listen(process.env.PORT, '127.0.0.1')"
    files = plant({"package.json": json.dumps({"engines": {"node": "22.11 - 22.12"}}), "index.js": source})

    artifact, _ = site.build("node-22", files)
    _, shown = site.build("node-22", files)

    assert "Fetching" not in shown
    with site.running(artifact) as address:
        assert get(address)[1].startswith("v22.12.")


# Static sites


def test_a_static_site_hides_dotfiles_and_has_its_own_404(site: Site, tmp_path: Path) -> None:
    files = samples.copy("static", tmp_path / "src")
    for name in (".env", ".git/config", "sub/.secret", ".well-known/security.txt", ".gitpaas/mine"):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text("hidden?")

    artifact, _ = site.build("dotfiles", files)

    with site.running(artifact) as address:
        assert get(f"{address}/.well-known/security.txt") == (200, "hidden?")
        for path in ("/.env", "/.git/config", "/%2egit/config", "/sub/.secret", "/.gitpaas/Caddyfile", "/sub/../.env"):
            status, body = get(address + path)
            assert (status, "no such page here" in body) == (404, True), path
        assert get(f"{address}/missing")[0] == 404
        assert get(f"{address}/404.html")[0] == 200


def test_a_built_site_without_a_server_is_served_with_its_router(plain: Site, plant: Callable[..., Path]) -> None:
    manifest = {"scripts": {"build": "mkdir dist && echo the app > dist/index.html && echo x > dist/a.js"}}

    artifact, _ = plain.build("one-page", plant({"package.json": json.dumps(manifest)}))

    with plain.running(artifact) as address:
        assert get(f"{address}/a.js") == (200, "x\n")
        assert get(f"{address}/some/route") == (200, "the app\n")
