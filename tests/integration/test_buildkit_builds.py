"""Dockerfiles with the real BuildKit and engine: what comes out, what is built again, and what goes wrong."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dockerfiles
import engine
import pytest
import samples
from dockerfiles import BASE, Yard, eventually
from processes import with_arguments

from gitpaas import linux
from gitpaas.engine import Engine
from gitpaas.engine.images import Images
from gitpaas.errors import BuildFailed, ToolFailed

pytestmark = [pytest.mark.needs("root", "sandbox", "docker", "buildkit"), pytest.mark.timeout(900)]

APP = BASE + "RUN sleep 0.2 && echo dependencies > /deps\nWORKDIR /app\nCOPY . .\nRUN cat main.txt\n"
APP += 'CMD ["cat", "main.txt"]\n'


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """One state directory, and so one BuildKit with one cache, for all tests here: each has an app of its own."""
    with dockerfiles.yard(tmp_path_factory.mktemp("buildkit") / "home") as made:
        yield made


# What comes out


def test_cold_then_the_same_then_one_line_changed(yard: Yard) -> None:
    cold = yard.build(APP, {"main.txt": "one"})
    assert cold.cached == set()
    assert "       [2/5] RUN sleep 0.2 && echo dependencies > /deps\n       [2/5] done in " in cold.text
    assert "       [5/5] RUN cat main.txt\n         one\n" in cold.text
    assert cold.run() == "one"

    same = yard.build(APP, {"main.txt": "one"})
    steps = ["[2/5] RUN sleep 0.2 && echo dependencies > /deps", "[3/5] WORKDIR /app", "[4/5] COPY . ."]
    assert same.cached == {*steps, "[5/5] RUN cat main.txt"}

    changed = yard.build(APP, {"main.txt": "two"})
    assert changed.cached == {*steps[:2]}
    assert changed.run() == "two"


def test_the_image_is_named_and_labelled_and_what_it_says_of_itself_is_kept(yard: Yard) -> None:
    more = "LABEL maintainer=ann\nHEALTHCHECK --interval=3s CMD true\nEXPOSE 8000\nUSER 65534\n"
    built = yard.build(BASE + more, app="labels")
    found = Images(Engine(yard.config)).inspect(built.artifact.reference)
    number = found.labels["gitpaas.build"]
    assert found.names == (f"gitpaas/labels:build-{number}",)
    assert found.labels["gitpaas.home"] == yard.config.identity
    assert found.labels["gitpaas.app"] == "labels"
    assert found.labels["maintainer"] == "ann"
    said = engine.call("GET", f"/images/{built.artifact.reference}/json")[1]["Config"]
    assert (said["User"], said["ExposedPorts"]) == ("65534", {"8000/tcp": {}})
    assert said["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 3_000_000_000}
    assert built.artifact.size > 50_000_000


def test_nothing_is_left_of_a_build_but_its_image(yard: Yard) -> None:
    yard.build(BASE, app="tidy")
    assert list((yard.config.buildkit / "desks").iterdir()) == []


def test_dockerignore_target_arguments_and_another_place(yard: Yard) -> None:
    text = "FROM debian:bookworm-slim AS first\nARG COLOR=red\nCOPY . /f\nRUN echo $COLOR > /color\n"
    built = yard.build(
        "FROM scratch\n",
        {"deploy/Dockerfile": text + "FROM scratch\n", "yes.txt": "", "no.txt": "", ".dockerignore": "no.txt\ndeploy"},
        app="chosen",
        dockerfile="deploy/Dockerfile",
        target="first",
        args={"COLOR": "blue"},
    )
    assert built.run("sh", "-c", "cat /color; ls /f").split() == ["blue", "Dockerfile", "yes.txt"]
    assert built.artifact.details == {"base": "debian:bookworm-slim"}
    assert built.artifact.label == "Dockerfile (deploy/Dockerfile)"


def test_an_image_without_anything_in_it(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match="The image is empty"):
        yard.build('FROM scratch\nCMD ["/run"]\n', app="empty")


def test_links_in_the_tree_stay_links_and_show_nothing_of_the_server(yard: Yard) -> None:
    secret = yard.config.secret_key
    secret.write_text("the-key")
    links = {"key": str(secret), "shadow": "/etc/shadow", "home": str(yard.config.home), "up": "../../../../secret.key"}
    text = BASE + "COPY . /f/\nRUN ls -l /f; cat /f/key /f/up /f/home/secret.key || true\n"
    built = yard.build(text, app="links", links=links)
    assert "the-key" not in built.text
    for name in ("key", "home/secret.key", "up"):
        with pytest.raises(BuildFailed):
            yard.build(BASE + f"COPY {name} /x\n", app="links", links=links)


def test_a_dockerfile_may_be_a_link_within_the_tree(yard: Yard) -> None:
    request = yard.request(BASE + "RUN echo inner\n", app="linked")
    (request.tree / "Dockerfile").rename(request.tree / "real")
    (request.tree / "Dockerfile").symlink_to("real")
    assert dockerfiles.DockerfileBuilder(yard.config).build(request, dockerfiles.Output()).reference


def test_files_of_another_app_are_never_taken_for_ones_own(yard: Yard) -> None:
    """Path, size and moment alike: BuildKit keeps one copy of the sources of all builds, and compares no more."""
    moment = 1_700_000_000_000_000_000
    for app, content in (("alike-a", "AAAA"), ("alike-b", "BBBB")):
        request = yard.request(BASE + "COPY x /x\nCMD cat /x\n", {"x": content}, app=app)
        for path in (request.tree / "x", request.tree / "Dockerfile"):
            os.utime(path, ns=(moment, moment))
        artifact = dockerfiles.DockerfileBuilder(yard.config).build(request, dockerfiles.Output())
        assert dockerfiles.Built(artifact, "").run() == content


def test_a_layer_that_the_engine_has_lost_is_brought_again(yard: Yard) -> None:
    first = yard.build(APP, {"main.txt": "one"}, app="lost")
    engine.call("DELETE", f"/images/{first.artifact.reference}?force=1")
    assert yard.build(APP, {"main.txt": "one"}, app="lost").run() == "one"


def test_a_layer_on_top_of_others_than_before_is_brought_too(yard: Yard) -> None:
    """With --link a layer is the same wherever it lies."""
    text = BASE + "COPY --link a /a\nCOPY --link b /b\nCMD cat /a /b\n"
    files = {"a": "1", "b": "x" * 100_000}
    yard.build(text, files, app="stacked")
    assert yard.build(text, files | {"a": "2"}, app="stacked").run() == "2" + files["b"]


def test_through_a_registry(yard: Yard) -> None:
    other = yard.again(IMAGE_REGISTRY=engine.REGISTRY)
    first = other.build(APP, {"main.txt": "one"}, app="pushed")
    second = other.build(APP, {"main.txt": "two"}, app="pushed")
    assert (first.run(), second.run()) == ("one", "two")
    found = Images(Engine(yard.config)).inspect(second.artifact.reference)
    assert found.labels["gitpaas.app"] == "pushed"
    assert all(name.startswith("gitpaas/pushed:") for name in found.names)

    build = found.labels["gitpaas.build"]
    for registry in (engine.REGISTRY, engine.REGISTRY.replace("127.0.0.1", "localhost")):
        with pytest.raises(BuildFailed, match="denied by policy"):
            other.build(f"FROM {registry}/gitpaas/pushed:build-{build}\nRUN cat /app/main.txt\n", app="thief")


@pytest.mark.parametrize("name", samples.images("dockerfile"))
def test_the_sample_apps(yard: Yard, name: str) -> None:
    expected, files = samples.expected(name), (samples.APPS / name).iterdir()
    sources = {path.name: path.read_text() for path in files if path.name not in ("Dockerfile", "expected.json")}
    text = (samples.APPS / name / "Dockerfile").read_text()
    if expected.get("build") == "fails":
        with pytest.raises(BuildFailed, match=expected["says"]) as failed:
            yard.build(text, sources, app="sample")
        assert failed.value.tail == ("no such table: users",)
    else:
        built = yard.build(text, sources, app="sample")
        assert built.artifact.processes == {"web": ""}
        assert built.run("python3", "-m", "py_compile", "server.py") == ""


# Faults


def test_a_failing_step_is_named_with_its_last_lines(yard: Yard) -> None:
    with pytest.raises(BuildFailed) as failed:
        yard.build(BASE + "RUN echo before; echo the cause >&2; exit 3\nRUN echo never\n", app="fails")
    assert failed.value.message.endswith("exit 3 exited with 3")
    assert failed.value.step.startswith("[2/3] RUN")
    assert set(failed.value.tail) == {"before", "the cause"}
    assert list((yard.config.buildkit / "desks").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BASE + "COPY nothing /x\n", "/nothing is not in the repository"),
        ("FROM debian:no-such\nRUN true\n", "docker.io/library/debian:no-such does not exist"),
        (BASE + "RUM x\n", "unknown instruction: RUM"),
        (BASE + "RUN --network=host true\n", "network.host is not allowed"),
        (BASE + "RUN --security=insecure true\n", "security.insecure is not allowed"),
        ("# syntax=evil/frontend:1\n" + BASE, "evil/frontend:1 is not allowed here"),
        (BASE + "RUN --mount=type=secret,id=NOPE,required=true true\n", "The config var NOPE is not set"),
        ("", "the Dockerfile cannot be empty"),
    ],
)
def test_the_apps_faults_read_like_it(yard: Yard, text: str, told: str) -> None:
    with pytest.raises(BuildFailed, match=told.replace(".", r"\.")):
        yard.build(text, app="fails")


def test_the_stock_syntax_needs_no_image_of_its_own(yard: Yard) -> None:
    assert yard.build("# syntax=docker/dockerfile:1\n" + BASE, app="syntax").artifact.reference


def test_a_registry_that_is_away_is_tried_again_and_then_ours(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.buildkit.build._PAUSES", (0.01, 0.02))
    with pytest.raises(ToolFailed, match=r"localhost:1/x/y:1 cannot be asked for") as failed:
        yard.build("FROM localhost:1/x/y:1\nRUN true\n", app="away")
    assert failed.value.hint


def test_a_build_that_takes_too_long_ends_with_its_steps(yard: Yard) -> None:
    nap = mark()
    yard.build(BASE, app="slow")  # so that the time is the step's
    with pytest.raises(BuildFailed, match="was still running after 20 seconds") as failed:
        yard.build(BASE + f"RUN echo begun; sleep {nap}\n", app="slow", timeout=20)
    assert failed.value.step == f"[2/2] RUN echo begun; sleep {nap}"
    assert failed.value.tail == ("begun",)
    assert "build_timeout" in str(failed.value.hint)
    eventually(lambda: not with_arguments(nap))


def mark(seconds: int = 600) -> str:
    """The argument of a sleep like no other on this machine."""
    return f"{seconds}.{secrets.randbelow(10**10):010}"


def test_a_hook_that_is_killed_takes_its_build_along(yard: Yard, tmp_path: Path) -> None:
    nap = mark()
    request = yard.request(BASE + f"RUN sleep {nap}\n", app="killed")
    script = (
        "import sys; from pathlib import Path; from gitpaas.buildkit import BuildKit, Job\n"
        "from gitpaas.config import load; from gitpaas.output import Output\n"
        "tree = Path(sys.argv[1]); BuildKit(load()).build(Job('killed', int(tree.name), tree, tree, tree), Output())"
    )
    hook = subprocess.Popen([sys.executable, "-c", script, str(request.tree)], env=yard.config.environ)
    try:
        eventually(lambda: with_arguments(nap))
    finally:
        hook.send_signal(signal.SIGKILL)
        hook.wait()
    linux.end_build(request.tree)  # as who finds the killed build does
    eventually(lambda: not with_arguments(nap))
    yard.build(BASE, app="after")
    assert list((yard.config.buildkit / "desks").iterdir()) == [], "what the killed one had on its desk is gone"


def test_a_daemon_killed_in_the_middle_is_started_again_and_the_build_too(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitpaas.buildkit.build._PAUSES", (0.1, 0.1))
    killed, nap = list[int](), mark(8)

    def kill() -> None:
        eventually(lambda: with_arguments(nap))
        pid = yard.buildkit.pid()
        assert pid
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    built = yard.build(BASE + f"RUN sleep {nap}\nCMD echo fine\n", app="survivor")
    thread.join()
    assert "BuildKit ended in the middle of the build" in built.text
    assert "Trying again in 0.1 s (1 of 2)" in built.text
    assert built.run() == "fine\n"
    assert yard.buildkit.pid() not in (None, killed[0])


# At the same time


def test_builds_at_the_same_time_share_the_daemon_and_nothing_else(yard: Yard) -> None:
    def build(number: int) -> str:
        text = BASE + f"RUN sleep 0.5; echo step {number}\nCOPY x /x\nCMD cat /x\n"
        return yard.build(text, {"x": f"app {number}"}, app=f"together-{number}").run()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(build, range(4)))
    assert found == [f"app {number}" for number in range(4)]


def test_the_cache_is_told_and_emptied(yard: Yard) -> None:
    yard.build(BASE + "RUN head -c 3000000 /dev/urandom > /x\n", app="cache")
    before = yard.buildkit.cache_usage()
    assert before > 3_000_000
    freed = yard.buildkit.prune_cache()
    assert freed > 3_000_000
    assert yard.buildkit.cache_usage() < before
