"""How long an image build takes through a push, against the same build by hand: pairs in one run, ratios first.

    scripts/bench build [--rounds N] [--quick]

Four builds of one small web app, each with a Dockerfile and with Railpack: cold (nothing cached but the base image),
warm (a new commit of the same tree), one line of the source changed, one config var changed. Beside each the same
tree is built by hand on the same machine: `docker build` (the engine's own BuildKit) for the Dockerfile, `railpack
build` on a buildkitd of its own for Railpack, and `buildctl` into `docker load` for both.

A push counts from its start until it says `Starting web.1`: the image is in the engine then, and the release made.
Needs root and what scripts/test-engine readies.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import engine

from tests.e2e.world import AppRepo, World

RESULTS = Path("bench-results")
CASES = ("cold", "warm", "one line changed", "config var changed")
SERVER = """\
import os, socket
text = b"hello"
with socket.create_server(("", int(os.environ["PORT"])), backlog=50) as server:
    while True:
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n" + text)
        connection.close()
"""
DOCKERFILE = f"""\
FROM {engine.REGISTRY}/library/debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-minimal
WORKDIR /app
COPY . .
CMD ["python3", "server.py"]
"""
RAILPACK = json.dumps({"provider": "shell", "deploy": {"aptPackages": ["python3-minimal"]}})
TREES: Mapping[str, Mapping[str, str]] = {
    "Dockerfile": {"Dockerfile": DOCKERFILE, "server.py": SERVER},
    "Railpack": {"railpack.json": RAILPACK, "start.sh": "exec python3 server.py\n", "server.py": SERVER},
}
FRONTEND = "ghcr.io/railwayapp/railpack-frontend:v0.23.0"


@dataclass
class Figures:
    """Seconds of every build: by tree, case and way."""

    seconds: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def add(self, tree: str, case: str, way: str, value: float) -> None:
        self.seconds.setdefault(tree, {}).setdefault(case, {}).setdefault(way, []).append(value)

    def medians(self) -> dict[str, dict[str, dict[str, float]]]:
        return {
            tree: {case: {way: statistics.median(v) for way, v in ways.items()} for case, ways in cases.items()}
            for tree, cases in self.seconds.items()
        }


class Hand:
    """Builds by hand: a buildkitd of its own, and the programs as their manuals say."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.socket = f"unix://{root}/buildkitd.sock"
        self.env = os.environ | {"PATH": f"{engine.TOOLS}:/usr/sbin:{os.environ['PATH']}"}
        self.env |= {"BUILDKIT_HOST": self.socket}

    @contextmanager
    def daemon(self) -> Iterator[None]:
        config = self.root / "buildkitd.toml"
        lines = [f'[registry."{name}"]\n  mirrors = ["{engine.REGISTRY}"]' for name in ("docker.io", "ghcr.io")]
        config.write_text("\n".join([*lines, f'[registry."{engine.REGISTRY}"]\n  http = true\n']))
        argv = ["buildkitd", f"--config={config}", f"--addr={self.socket}", f"--root={self.root}/root"]
        with (self.root / "buildkitd.log").open("wb") as log:
            argv = [str(engine.TOOLS / "buildkitd"), *argv[1:], "--oci-worker-net=host"]
            daemon = subprocess.Popen(argv, env=self.env, stdout=log, stderr=log)
        try:
            while subprocess.run(self._buildctl("debug", "workers"), env=self.env, capture_output=True).returncode:
                time.sleep(0.05)
            yield
        finally:
            daemon.terminate()
            daemon.wait()

    def prune(self) -> None:
        self._run(self._buildctl("prune", "--all"))

    def docker_build(self, tree: Path, *options: str) -> None:
        """/usr/bin/docker is the engine's own client, which still has a builder in it."""
        argv = ["/usr/bin/docker", "build", "-q", "-t", "gitpaas-bench/hand", *options, str(tree)]
        self._run(argv, DOCKER_BUILDKIT="1")

    def railpack_build(self, tree: Path, variable: str) -> None:
        argv = ["railpack", "build", str(tree), "--name", "gitpaas-bench/hand", "--progress", "plain"]
        self._run([*argv, "--env", f"COLOUR={variable}"])

    def buildctl_dockerfile(self, tree: Path) -> None:
        self._load(self._build("--frontend=dockerfile.v0", f"--local=dockerfile={tree}", f"--local=context={tree}"))

    def buildctl_railpack(self, tree: Path, variable: str) -> None:
        plan = self.root / "plan"
        plan.mkdir(exist_ok=True)
        files = (f"--plan-out={plan}/railpack-plan.json", f"--info-out={plan}/info.json")
        self._run(["railpack", "prepare", str(tree), *files, "--env", f"COLOUR={variable}"])
        options = ("--frontend=gateway.v0", f"--opt=source={FRONTEND}", "--opt=filename=railpack-plan.json")
        secret = ("--opt=build-arg:cache-key=hand", f"--opt=build-arg:secrets-hash={variable}", "--secret=id=COLOUR")
        self._load(
            self._build(*options, *secret, f"--local=context={tree}", f"--local=dockerfile={plan}"), COLOUR=variable
        )

    def _build(self, *options: str) -> list[str]:
        return self._buildctl("build", "--progress=plain", *options, "--output=type=docker,name=gitpaas-bench/hand")

    def _buildctl(self, *arguments: str) -> list[str]:
        return [str(engine.TOOLS / "buildctl"), f"--addr={self.socket}", *arguments]

    def _load(self, argv: list[str], **env: str) -> None:
        with subprocess.Popen(argv, env=self.env | env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as build:
            subprocess.run(["docker", "load"], stdin=build.stdout, env=self.env, check=True, capture_output=True)
        if build.returncode:
            raise SystemExit(f"buildctl failed: {' '.join(argv)}")

    def _run(self, argv: list[str], **env: str) -> None:
        done = subprocess.run(argv, env=self.env | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(argv)}\n{done.stdout[-3000:]}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3, help="builds of each kind (3)")
    options.add_argument("--quick", action="store_true", help="1 round")
    chosen = options.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="gp-", dir="/tmp") as directory:
        hand = Hand(Path(directory) / "hand")
        hand.root.mkdir()
        world = World(Path(directory) / "world", RUNTIME="docker", **engine.settings())
        world.start()
        try:
            with hand.daemon(), given_mise():
                for name, files in TREES.items():
                    for _ in range(1 if chosen.quick else chosen.rounds):
                        measure(figures, name, world.new_app(files), hand)
        finally:
            world.close()
            engine.call("DELETE", "/images/gitpaas-bench/hand?force=1")
    report(figures)


def measure(figures: Figures, name: str, app: AppRepo, hand: Hand) -> None:
    """One app from its first build on, each case by every way before the next case."""
    push = Push(app)
    for case, prepare in push.cases().items():
        if case == "cold":
            hand.prune()
            prune_ours(app.world)
        prepare()
        figures.add(name, case, "push", push.seconds())
        if name == "Dockerfile":
            cold = ["--no-cache"] if case == "cold" else []
            figures.add(name, case, "docker build", timed(lambda cold=cold: hand.docker_build(app.path, *cold)))
            figures.add(name, case, "buildctl", timed(lambda: hand.buildctl_dockerfile(app.path)))
        else:
            ways = {"railpack build": hand.railpack_build, "buildctl": hand.buildctl_railpack}
            for way, build in ways.items():
                if case == "cold":
                    hand.prune()
                figures.add(name, case, way, timed(lambda build=build: build(app.path, push.colour)))


@dataclass
class Push:
    """What is done before each push, and the push."""

    app: AppRepo
    colour: str = "red"

    def cases(self) -> dict[str, Callable[[], object]]:
        return dict(zip(CASES, (self.paint, self.again, self.change_line, self.repaint), strict=True))

    def paint(self) -> None:
        assert self.app.world.ssh("apps:create", self.app.name).code == 0
        self.repaint(self.colour)

    def again(self) -> None:
        self.app.git("commit", "-q", "--allow-empty", "-m", "The same tree")

    def change_line(self) -> None:
        self.app.commit({"server.py": SERVER.replace("hello", f"hello {time.time()}")})

    def repaint(self, colour: str = "blue") -> None:
        self.colour = colour
        done = self.app.ssh("config:set", f"COLOUR={colour}", "--no-restart")
        assert done.code == 0, done
        self.again()

    def seconds(self) -> float:
        """From the start of `git push` until it says that an instance starts."""
        began, begin = time.perf_counter(), self.app.begin_push()
        begin.wait_for("-----> Starting web.1", seconds=300)
        taken = time.perf_counter() - began
        ended = begin.end(timeout=120)
        if ended.code:
            raise SystemExit(f"a push failed:\n{ended.output}")
        return taken


@contextmanager
def given_mise() -> Iterator[None]:
    """Where `railpack` looks before it downloads one: InstallDir in its core/mise/mise.go."""
    folder = Path("/tmp/railpack")
    made = not folder.exists()
    if made:
        (folder / "mise").mkdir(parents=True)
        shutil.copy(engine.TOOLS / "mise", folder / "mise" / "mise-2026.3.17")
    try:
        yield
    finally:
        if made:
            shutil.rmtree(folder)


def prune_ours(world: World) -> None:
    done = world.gitpaas("disk:prune")
    assert done.code == 0, done


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def report(figures: Figures) -> None:
    medians = figures.medians()
    for tree, cases in medians.items():
        for case, ways in cases.items():
            for way, value in ways.items():
                if way != "push":
                    more = 1000 * (ways["push"] - value)
                    print(f"{tree}, {case}: push / {way} = {ways['push'] / value:.2f} ({more:+.0f} ms)")
    for tree, kinds in figures.seconds.items():
        for case, ways in kinds.items():
            for way, values in ways.items():
                middle = medians[tree][case][way]
                print(f"{tree:10} {case:18} {way:14} median {middle:6.2f} s   min {min(values):6.2f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "build.json").write_text(json.dumps({"seconds": figures.seconds, "median": medians}, indent=2))


if __name__ == "__main__":
    main()
