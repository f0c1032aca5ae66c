"""The sample apps with the real Railpack, BuildKit and engine: what is built again, and where a secret does not get.

What an image answers once it runs is the end-to-end tests' business.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import engine
import pytest
import railpacks
import samples
from processes import watching
from railpacks import Yard, plant

from gitpaas.engine.client import Engine
from gitpaas.engine.images import ImageInfo, Images
from gitpaas.errors import BuildFailed
from gitpaas.values import Artifact

pytestmark = [pytest.mark.needs("root", "sandbox", "docker", "railpack"), pytest.mark.timeout(900)]

TOKEN = f"not-for-anybodys-{secrets.token_hex(8)}"
STEPS = {
    "start.sh": "sleep 60\n",
    "railpack.json": """{"steps": {
        "one": {"commands": [{"src": "a.txt", "dest": "a.txt"}, "echo $ONE >> a.txt"], "secrets": ["ONE"]},
        "two": {"commands": [{"src": "b.txt", "dest": "b.txt"}, "echo $TWO >> b.txt"], "secrets": ["TWO"]},
        "none": {"commands": ["echo none > c.txt"], "secrets": []}
    }}""",
    "a.txt": "a\n",
    "b.txt": "b\n",
}


CACHING = """{"caches": {"kept": {"directory": "/kept", "type": "shared"}},
    "steps": {"build": {"commands": ["...", "%s"], "caches": ["kept"], "secrets": []}}}"""


@dataclass
class Built:
    artifact: Artifact
    text: str

    @property
    def cached(self) -> set[str]:
        """The steps that came out of the cache."""
        lines = (line.strip() for line in self.text.splitlines())
        return {line.removesuffix(" CACHED") for line in lines if line.endswith(" CACHED")}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """One state directory, and so one BuildKit with one cache, for all tests here: each has an app of its own."""
    made = railpacks.yard(tmp_path_factory.mktemp("railpack") / "home")
    yield made
    made.builder._buildkit.stop()
    engine.clear(made.config.identity)


def build(yard: Yard, files: Path, **more: object) -> Built:
    request, out = yard.request(files, **more), yard.out
    artifact = yard.builder.build(request, out)
    return Built(artifact, yard.lines.text)


def image(yard: Yard, built: Built) -> ImageInfo:
    return Images(Engine(yard.config)).inspect(built.artifact.reference)


def read(built: Built, name: str) -> str:
    """A file of the image, by a container that is gone at once."""
    argv = ["docker", "run", "--rm", "--network=none", "--label=gitpaas-test", "--entrypoint=cat"]
    done = subprocess.run([*argv, built.artifact.reference, name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# What comes out


def test_a_shell_app_becomes_an_image_that_starts_it(yard: Yard, tmp_path: Path) -> None:
    files = samples.copy("railpack-shell", tmp_path / "src")

    built = build(yard, files, app="shell")

    found = image(yard, built)
    assert built.artifact.kind == "image"
    assert built.artifact.label == "Shell (Railpack 0.23)"
    assert built.artifact.processes == {"web": "bash start.sh"}
    assert built.artifact.details == {"Provider": "shell", "Railpack": "0.23.0"}
    assert built.artifact.size == found.size > 10_000_000
    assert (found.entrypoint, found.command) == (("/bin/bash", "-c"), ("bash start.sh",))
    assert found.labels["gitpaas.home"] == yard.config.identity
    assert found.labels["gitpaas.app"] == "shell"
    assert read(built, "page.txt") == "hello from a shell script\n"


def test_packages_of_the_build_and_of_the_image_are_installed(yard: Yard, tmp_path: Path) -> None:
    built = build(yard, samples.copy("railpack-apt-packages", tmp_path / "src"), app="apt")

    assert read(built, "site/index.html") == "hello from jq and busybox\n"
    assert "install apt packages: jq" in built.text
    assert "install apt packages: busybox" in built.text


def test_a_procfile_alone_is_an_app(yard: Yard, tmp_path: Path) -> None:
    files = plant(tmp_path / "src", {"Procfile": "web: sh run\nworker: sleep 9\n", "run": "sleep 60\n"})

    built = build(yard, files, app="procfile")

    assert built.artifact.processes == {"web": "sh run", "worker": "sleep 9"}
    assert built.artifact.label == "Procfile (Railpack 0.23)"
    assert read(built, "run") == "sleep 60\n"


def test_a_build_command_that_fails_is_told_with_its_last_lines(yard: Yard, tmp_path: Path) -> None:
    files = samples.copy("railpack-build-fails", tmp_path / "src")

    with pytest.raises(BuildFailed) as caught:
        build(yard, files, app="fails")

    assert "sh compile.sh" in caught.value.step
    assert "2" in caught.value.message
    # Its two streams come as two, in no certain order.
    assert set(caught.value.tail[-2:]) == {"compiling hello.c", "hello.c:3: expected a semicolon"}


# What is built again


def test_a_changed_line_installs_nothing_again(yard: Yard, tmp_path: Path) -> None:
    files = samples.copy("railpack-apt-packages", tmp_path / "src")
    first = build(yard, files, app="warm")
    same = build(yard, files, app="warm")
    plant(files, {"start.sh": (files / "start.sh").read_text() + "# one more line\n"})
    changed = build(yard, files, app="warm")

    installed = {"install apt packages: jq", "install apt packages: busybox"}
    assert not installed & first.cached
    assert installed <= same.cached
    assert installed <= changed.cached


def test_a_changed_config_var_rebuilds_the_step_that_uses_it_and_no_other(yard: Yard, tmp_path: Path) -> None:
    files = plant(tmp_path / "src", STEPS)
    env = {"ONE": "1", "TWO": "2", "THREE": "3"}
    build(yard, files, app="vars", env=env)

    other = build(yard, files, app="vars", env=env | {"THREE": "changed"})
    changed = build(yard, files, app="vars", env=env | {"ONE": "changed"})

    one, two, none = "echo $ONE >> a.txt", "echo $TWO >> b.txt", "echo none > c.txt"
    assert other.cached >= {one, two, none}
    assert changed.cached >= {two, none}
    assert one not in changed.cached
    assert read(changed, "a.txt") == "a\nchanged\n"
    assert read(changed, "b.txt") == "b\n2\n"


def test_a_step_that_says_that_it_uses_no_secret_is_not_another_apps(yard: Yard, tmp_path: Path) -> None:
    """It uses one all the same: what it makes of it must not reach an app of the same tree."""
    config = """{"steps": {"build": {"commands": ["...", "echo $URL > url.txt"], "secrets": []}}}"""
    files = plant(tmp_path / "src", {"start.sh": "sleep 60\n", "railpack.json": config})

    production = build(yard, files, app="production", env={"URL": "production-database"})
    staging = build(yard, files, app="staging", env={"URL": "staging-database"})

    assert read(production, "url.txt") == "production-database\n"
    assert read(staging, "url.txt") == "staging-database\n"


def test_no_app_can_leave_anything_in_the_cache_for_another(yard: Yard, tmp_path: Path) -> None:
    """What a step finds in its cached directory is no part of what BuildKit knows the step by."""
    victims = {"start.sh": "sleep 60\n", "railpack.json": CACHING % "cat /kept/* > found.txt; true"}
    plant(tmp_path / "bait", {"start.sh": "", "railpack.json": CACHING % "echo poison > /kept/well"})
    plant(tmp_path / "src", victims)

    build(yard, tmp_path / "bait", app="attacker")
    attackers = build(yard, tmp_path / "src", app="attacker")
    found = build(yard, tmp_path / "src", app="victim")

    assert read(attackers, "found.txt") == "poison\n"
    assert read(found, "found.txt") == ""


def test_an_apps_caches_are_not_those_of_an_app_that_begins_with_its_name(yard: Yard, tmp_path: Path) -> None:
    plant(tmp_path / "src", {"start.sh": "", "railpack.json": CACHING % "echo theirs > /kept/own"})
    looking = (CACHING % "ls /kept > found.txt").replace('"kept"', '"api-kept"')
    plant(tmp_path / "thief", {"start.sh": "", "railpack.json": looking})

    build(yard, tmp_path / "src", app="shop-api")
    found = build(yard, tmp_path / "thief", app="shop")

    assert read(found, "found.txt") == ""


# Where a secret does not get


def test_a_secret_is_there_for_the_step_and_nowhere_else(yard: Yard, tmp_path: Path) -> None:
    files = samples.copy("railpack-secret", tmp_path / "src")

    with watching("cmdline") as arguments:
        built = build(yard, files, app="secret", env={"TOKEN": TOKEN})

    secret = TOKEN.encode()
    digest = hashlib.sha256(secret).hexdigest()[:8]
    assert read(built, "page.txt").strip() == f"built with a token of {len(TOKEN)} letters, {digest}"
    assert any(b"railpack-frontend" in argument for argument in arguments)
    assert [argument for argument in arguments if secret in argument] == []
    assert TOKEN not in built.text
    assert TOKEN not in str(engine.call("GET", f"/images/{built.artifact.reference}/history"))
    assert TOKEN not in str(engine.call("GET", f"/images/{built.artifact.reference}/json"))
    api = Engine(yard.config).api
    assert not any(_found(secret, api.get_image(built.artifact.reference)))
    assert _files_with(secret, yard.config.home) == []


def _found(secret: bytes, pieces: Iterator[bytes]) -> Iterator[bool]:
    """Whether it is in the stream, at the seam of two pieces too."""
    rest = b""
    for piece in pieces:
        yield secret in rest + piece
        rest = piece[-len(secret) :]


def _files_with(secret: bytes, folder: Path) -> list[Path]:
    done = subprocess.run(
        ["grep", "-rlaF", "--devices=skip", "-e", secret.decode(), folder], capture_output=True, text=True
    )
    return [Path(line) for line in done.stdout.splitlines()]
