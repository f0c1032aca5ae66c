"""How long it takes until the old version answers again, and what a long history costs.

    scripts/bench back [--rounds N] [--releases N]

Each round deploys a broken version, on plain processes and where an engine answers in Docker, and goes back: by
`rollback`, and by a force push of the older commit, next to the deploy itself. Then pushes, fetches and rollbacks of an
app that has had N releases, next to one with a few. Ratios first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import engine  # noqa: E402

from tests.e2e.world import AppRepo, World  # noqa: E402

RESULTS = Path("bench-results")
Figures = dict[str, list[float]]

# In a process of its own: copies of the live release, with their refs and notes.
LONG_HISTORY = """
import sys
from gitpaas.releases import history
from gitpaas.config import load
from gitpaas.platform import build_platform
from gitpaas.store import App, Release

platform = build_platform(load())
with platform.store.session():
    app = App.get(App.name == sys.argv[1])
    live = Release.get(Release.app == app, Release.number == app.release)
    fields = {name: value for name, value in live.__data__.items() if name not in ("id", "number", "inputs")}
    for number in range(live.number + 1, live.number + int(sys.argv[2]) + 1):
        with platform.store.transaction():
            Release.create(number=number, **fields)
        history.record(platform, app)
    App.update(release=number).where(App.id == app.id).execute()
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="how often each is done (5)")
    options.add_argument("--releases", type=int, default=1000, help="of the app with a long history (1000)")
    chosen = options.parse_args()
    figures: Figures = {}
    with running() as world:
        figures |= going_back(world, chosen.rounds)
        figures |= long_history(world, chosen.rounds, chosen.releases)
    if engine.has_docker() and engine.has_buildkit():
        with running(RUNTIME="docker", **engine.settings()) as world:
            figures |= going_back(world, chosen.rounds)
    report(figures)


@contextmanager
def running(**settings: object) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="gp-", dir="/tmp") as root:
        world = World(Path(root), **settings)
        try:
            world.start()
            yield world
        finally:
            world.close()


def going_back(world: World, rounds: int) -> Figures:
    """Seconds from the start of a command until the URL has the text."""
    app = world.new_app()
    app.deploy()
    good = app.git("rev-parse", "HEAD")
    figures: Figures = {}
    for number in range(rounds):
        for name, back in {
            "rollback": lambda: app.ssh("rollback").code,
            "force push": lambda: force_push(app, good),
        }.items():
            app.git("reset", "-q", "--hard", good)
            app.commit({"version.txt": f"broken {number} {name}"})
            deploy = lambda: app.push("--force", "main").code  # noqa: E731
            figures.setdefault(f"{world.runtime}: deploy", []).append(timed(app, deploy, f"broken {number} {name}"))
            figures.setdefault(f"{world.runtime}: {name}", []).append(timed(app, back, "version 1"))
    return figures


def force_push(app: AppRepo, commit: str) -> int:
    pushed = app.push("--force", f"{commit}:refs/heads/main")
    return pushed.code if "Using the build of" in pushed.output else 1


def long_history(world: World, rounds: int, count: int) -> Figures:
    figures: Figures = {}
    few, many = world.new_app(), world.new_app()
    for app in (few, many):
        app.deploy()
        app.git("config", "--add", "remote.paas.fetch", "+refs/releases/*:refs/remotes/paas/releases/*")
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", LONG_HISTORY, many.name, str(count)], env=world.env, check=True)
    figures[f"one more of {count} releases, in the repository"] = [(time.perf_counter() - begin) / count]
    for number in range(rounds):
        for name, app in {"a few": few, f"{count}": many}.items():
            app.commit({"version.txt": f"change {number}"})
            figures.setdefault(f"{name} releases: push stored only", []).append(
                timed(app, lambda app=app: app.push("main:refs/heads/side").code)
            )
            figures.setdefault(f"{name} releases: push deployed", []).append(
                timed(app, lambda app=app: app.push().code, f"change {number}")
            )
            figures.setdefault(f"{name} releases: fetch", []).append(
                timed(app, lambda app=app: app.git("fetch", "-q", "paas") and 1)
            )
            figures.setdefault(f"{name} releases: config:set", []).append(
                timed(app, lambda app=app, number=number: app.ssh("config:set", f"A={number}").code)
            )
    return figures


def timed(app: AppRepo, act: Callable[[], int | str], text: str = "") -> float:
    begin = time.perf_counter()
    if code := act():
        raise SystemExit(f"exit {code}")
    if text:
        app.wait_for(text)
    return time.perf_counter() - begin


def report(figures: Figures) -> None:
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for runtime in ("host", "docker"):
        if f"{runtime}: deploy" in medians:
            for way in ("rollback", "force push"):
                print(f"{way} / deploy, {runtime}: {medians[f'{runtime}: {way}'] / medians[f'{runtime}: deploy']:.2f}")
    for name, values in figures.items():
        print(f"{name:48} median {medians[name]:6.3f} s   min {min(values):6.3f}   max {max(values):6.3f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "back.json").write_text(json.dumps({"seconds": figures, "median": medians}, indent=2))


if __name__ == "__main__":
    main()
