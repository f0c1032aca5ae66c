"""What a thousand apps cost: commands, a round of reconcile, the idle server and a deploy, next to ten apps.

    scripts/bench scale [--apps N] [--running N] [--rounds N]

Two servers in one run: one with 10 apps, all running, one with N of which some run; the others were stopped, and have
releases and config vars like any. Both run at the same time and are asked by turns. Ratios first, a table, and JSON in
bench-results/.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import ports  # noqa: E402
import users  # noqa: E402

from gitpaas import apps, releases, store  # noqa: E402
from gitpaas.apps import configvars  # noqa: E402
from gitpaas.config import load  # noqa: E402
from gitpaas.instances.reconcile import Reconciler  # noqa: E402
from gitpaas.platform import Platform, build_platform  # noqa: E402
from gitpaas.values import Actor, Artifact  # noqa: E402
from tests.e2e.programs import wait_until  # noqa: E402
from tests.e2e.world import AppRepo, World  # noqa: E402

FEW = 10
RELEASES = 5  # of each app

Share = tuple[int, int, int]  # of the place that this process has on the machine: first user id, first port, last port
_FIRST, _LAST = ports.APPS
FEW_SHARE: Share = (users.APPS, _FIRST, _FIRST + 49)
MANY_SHARE: Share = (users.APPS + 100, _FIRST + 50, _LAST)
MOST_APPS, MOST_RUNNING = 9_000, 400
RESULTS = Path("bench-results")
SERVER = "import http.server as h, os; h.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), type('A', (h.BaseHTTPRequestHandler,), {'do_GET': lambda s: (s.send_response(200), s.end_headers())})).serve_forever()"  # noqa: E501


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--apps", type=int, default=1000, help="in the larger store (1000)")
    options.add_argument("--running", type=int, default=50, help="of these (50)")
    options.add_argument("--rounds", type=int, default=7, help="how often each is asked (7)")
    chosen = options.parse_args()
    if not 1 <= chosen.running <= min(chosen.apps, MOST_RUNNING) or chosen.apps > MOST_APPS:
        options.error(f"at most {MOST_APPS} apps, and at most {MOST_RUNNING} of these running")
    with (
        tempfile.TemporaryDirectory(prefix="gp-", dir="/tmp") as root,
        peopled(Path(root) / "few", FEW_SHARE, FEW, FEW) as few,
        peopled(Path(root) / "many", MANY_SHARE, chosen.apps, chosen.running) as many,
    ):
        report(measure(few, many, chosen.rounds), chosen)


class Town:
    """A world with many apps in its store, and one of them that is really pushed."""

    def __init__(self, root: Path, share: Share) -> None:
        root.mkdir()
        uids, first, last = share
        self.world = World(root, APP_UID_BASE=uids, APP_PORTS=f"{first}-{last}")
        self.app: AppRepo | None = None
        self.ready = 0.0  # seconds from the start of a server that has everything to start until it accepts

    def settle(self, count: int, running: int) -> None:
        """Make the apps and wait until what shall run of them runs."""
        self.world.start()
        self.app = self.world.new_app()
        self.app.deploy()
        self.world.stop()
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
            processes.submit(people, self.world.env, count - 1, running - 1).result()
        begin = time.perf_counter()
        self.world.start(seconds=120)
        self.ready = time.perf_counter() - begin
        wait_until(lambda: self.running() >= running, f"{running} apps to run", seconds=120)

    def running(self) -> int:
        return sum(bool(app["running"]) for app in self.world.ssh_json("apps"))

    def deploy(self) -> None:
        assert self.app
        self.app.commit({"version.txt": str(time.time())})
        done = self.app.push()
        if done.code:
            raise SystemExit(f"a push failed:\n{done}")

    def ask(self, *words: str) -> None:
        done = self.world.ssh(*words)
        if done.code:
            raise SystemExit(f"{words} failed:\n{done}")

    def ps(self) -> None:
        assert self.app
        self.ask("ps", self.app.name)

    def cpu(self, seconds: float) -> float:
        """CPU seconds that the server takes in a second of doing nothing."""
        before = self._cpu()
        time.sleep(seconds)
        return (self._cpu() - before) / seconds

    def _cpu(self) -> float:
        assert self.world.process
        fields = Path(f"/proc/{self.world.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def peopled(root: Path, share: Share, count: int, running: int) -> Iterator[Town]:
    town = Town(root, share)
    try:
        town.settle(count, running)
        yield town
    finally:
        town.world.close()


def people(env: dict[str, str], count: int, running: int) -> None:
    """Rows and slugs of `count` apps as pushes would have left them, the first `running` of them wanted."""
    platform = build_platform(load(env))
    with platform.store.session():
        made = releases.artifact(store.Release.select().order_by(store.Release.id.desc()).first())
        for number in range(count):
            person(platform, made, f"many-{number}", stopped=number >= running)
    platform.store.close()


def person(platform: Platform, made: Artifact, name: str, *, stopped: bool) -> None:
    app = apps.create(platform, name, Actor("bench", "admin"))
    slug = platform.config.slug(name, 1)
    if not stopped:
        shutil.copytree(made.reference, slug, symlinks=True)
        apps.hand_over(slug, apps.uid(platform.config, app))
    own = replace(made, reference=str(slug), processes={"web": f'exec python3 -c "{SERVER}"'})
    configvars.change(platform, app, {f"NAME_{n}": f"value {n}" for n in range(5)})
    # As everything that has run leaves it, and ps:stop.
    platform.config.raw_logs(name).mkdir(parents=True, mode=0o700)
    if stopped:
        platform.router.show(platform.config.host(name), "stopped")
    build = store.Build.create(app=app, commit="c" * 40, ref="", previous="", status="live", by="bench", finished_at=1)
    for _ in range(RELEASES):
        release = releases.create(platform, app, own, build)
    store.Release.update(status="live").where(store.Release.app == app).execute()
    store.App.update(release=release.number, stopped=stopped).where(store.App.id == app.id).execute()


def alone(env: dict[str, str], rounds: int) -> list[float]:
    """round_trips() in a process of its own: each has one database."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(round_trips, env, rounds).result()


def round_trips(env: dict[str, str], rounds: int) -> list[float]:
    """Seconds of each round of reconcile, when nothing has changed."""
    platform = build_platform(load(env))
    own = Reconciler(platform, lambda _app, _text: None)
    own.run_once()  # what it remembers of the round before saves it work, as in the server
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        own.run_once()
        found.append(time.perf_counter() - begin)
    platform.store.close()
    return found


def measure(few: Town, many: Town, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds by what was asked, for both towns, by turns."""
    asked: dict[str, Callable[[Town], object]] = {
        "ssh apps": lambda town: town.ask("apps"),
        "ssh ps APP": lambda town: town.ps(),
        "a deploy": lambda town: town.deploy(),
    }
    figures: dict[str, dict[str, list[float]]] = {
        name: {key: [] for key in ("few", "many")}
        for name in [*asked, "reconcile, nothing to do", "idle server, CPU s/s"]
    }
    for _ in range(rounds):
        for name, work in asked.items():
            for key, town in (("few", few), ("many", many)):
                begin = time.perf_counter()
                work(town)
                figures[name][key].append(time.perf_counter() - begin)
    figures["first start, until ready"] = {"few": [few.ready], "many": [many.ready]}
    for key, town in (("few", few), ("many", many)):
        figures["reconcile, nothing to do"][key] = alone(town.world.env, rounds)
        figures["idle server, CPU s/s"][key] = [town.cpu(3.0) for _ in range(3)]
    return figures


def report(figures: dict[str, dict[str, list[float]]], chosen: argparse.Namespace) -> None:
    medians = {name: {key: statistics.median(values) for key, values in pair.items()} for name, pair in figures.items()}
    for name, pair in medians.items():
        print(f"{chosen.apps} apps / {FEW} apps, {name}: {pair['many'] / max(pair['few'], 1e-9):.2f}")
    print(f"{'':28} {FEW:>9} apps {chosen.apps:>9} apps ({chosen.running} running), medians")
    for name, pair in medians.items():
        print(f"{name:28} {pair['few'] * 1000:11.1f} ms {pair['many'] * 1000:11.1f} ms")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "scale.json").write_text(json.dumps({"seconds": figures, "median": medians}, indent=2))


if __name__ == "__main__":
    main()
