"""What a visitor notices of 20 switches: a steady load through Caddy, with and without them, in one run.

    scripts/bench route [--switches N] [--rate N] [--pushes] [--wrk]

Default: the switches are the router's own (new instance, point, drain, stop the old one). --pushes makes each of them
a whole `git push` through a server of its own. --wrk adds as many requests as the machine can, from wrk.
Ratios first, a table, and JSON in bench-results/.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from bench.load import Load, Report  # noqa: E402
from routing import Routing, routing  # noqa: E402

from tests.e2e.world import World  # noqa: E402

HOST = "bench.localhost"
RESULTS = Path("bench-results")
DRAINED = 10.0  # seconds an old instance gets


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--switches", type=int, default=20)
    options.add_argument("--rate", type=float, default=200, help="requests a second (200)")
    options.add_argument("--pushes", action="store_true", help="switch by real pushes")
    options.add_argument("--wrk", action="store_true", help="measure the most requests a second, too")
    chosen = options.parse_args()
    if chosen.wrk and shutil.which("wrk") is None:
        options.error("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="gp-", dir="/tmp") as root:
        measure = measure_pushes if chosen.pushes else measure_router
        figures = measure(Path(root), chosen.switches, chosen.rate)
        if chosen.wrk:
            figures |= measure_wrk(Path(root) / "wrk", chosen.switches)
    report(figures)


def measure_router(root: Path, switches: int, rate: float) -> dict[str, object]:
    """The same load three times: straight at an instance, through Caddy, through Caddy with the switches."""
    with routing(root / "home") as paas, Instances(paas) as instances:
        instances.switch()
        host, port = instances.address.split(":")
        with Load((host, int(port)), HOST, rate=rate) as straight:
            time.sleep(5)
        with Load(paas.address, HOST, rate=rate) as steady:
            time.sleep(5)
        with Load(paas.address, HOST, rate=rate) as switching:
            instances.switch_times(switches, switching)
    reports = {"straight": straight.report(), "through Caddy": steady.report(), "switching": switching.report()}
    return {"load": reports, "switches": switches, "point ms": instances.point_ms}


def measure_pushes(root: Path, switches: int, rate: float) -> dict[str, object]:
    """The same with a whole platform: each switch is a push of a one-line change."""
    world = World(root)
    world.start()
    try:
        app = world.new_app()
        app.deploy({"version.txt": "version 0"})
        address, host = ("127.0.0.1", world.http_port), f"{app.name}.localhost"
        with Load(address, host, rate=rate) as steady:
            time.sleep(5)
        with Load(address, host, rate=rate) as switching:
            for number in range(1, switches + 1):
                app.deploy({"version.txt": f"version {number}"})
                switching.floor = number
    finally:
        world.close()
    return {"load": {"through Caddy": steady.report(), "switching": switching.report()}, "switches": switches}


def measure_wrk(root: Path, switches: int) -> dict[str, object]:
    """As many requests as fit, without and with the switches; the app is Python, so most of the time is its own."""
    with routing(root / "home") as paas, Instances(paas) as instances:
        instances.switch()
        steady = wrk(paas, lambda: time.sleep(5))
        switching = wrk(paas, lambda: instances.switch_times(switches))
    return {"wrk": {"through Caddy": steady, "switching": switching}}


def wrk(paas: Routing, during: Callable[[], object]) -> dict[str, float]:
    """wrk from the beginning to the end of `during`: requests a second, and how many went wrong."""
    url = f"http://127.0.0.1:{paas.config.http_port}/"
    argv = ["wrk", "-t1", "-c16", "-d600s", "-H", f"Host: {HOST}", url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(0.5)
        during()
        process.send_signal(2)  # wrk prints its summary
        text = process.communicate()[0]
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    wrong = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return {"rate": float(rate[1]) if rate else 0.0, "failed": errors + wrong}


class Instances:
    """One instance after the other, each a process of its own, switched as a deploy does it."""

    def __init__(self, paas: Routing) -> None:
        self.address = ""
        self.point_ms: list[float] = []
        self._paas = paas
        self._version = -1
        self._running = ExitStack()

    def __enter__(self) -> Instances:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def switch_times(self, times: int, load: Load | None = None) -> None:
        for _ in range(times):
            self.switch(load)
            time.sleep(0.2)

    def switch(self, load: Load | None = None) -> None:
        fresh = ExitStack()
        old, old_address = self._running, self.address
        self._version += 1
        self.address = fresh.enter_context(instance(self._version))
        began = time.perf_counter()
        self._paas.router.point(HOST, [self.address])
        self.point_ms.append(round(1000 * (time.perf_counter() - began), 2))
        if load is not None:
            load.floor = self._version
        self._running = fresh
        if old_address:
            self._drain(old_address)
        old.close()

    def _drain(self, address: str) -> None:
        deadline = time.monotonic() + DRAINED
        time.sleep(0.1)  # a request that read the old name just before the switch
        while self._paas.router.connections(address) and time.monotonic() < deadline:
            time.sleep(0.02)


@contextmanager
def instance(version: int) -> Iterator[str]:
    argv = [sys.executable, str(TESTS / "upstream.py"), str(version)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()


def report(figures: dict[str, object]) -> None:
    reports: dict[str, Report] = figures["load"]  # type: ignore[assignment]
    switching, steady = reports["switching"], reports["through Caddy"]
    print(f"failed {switching.failed}, stale {switching.stale} of {switching.ok + switching.failed} requests")
    print(f"p50 switching / steady: {switching.p50 / steady.p50:.2f}")
    if straight := reports.get("straight"):
        print(f"p50 through Caddy / straight: {steady.p50 / straight.p50:.2f}")
    for name, one in reports.items():
        print(
            f"{name:14} {one.rate:7.1f} req/s   ok {one.ok:6}   failed {one.failed:3}   stale {one.stale:3}   "
            f"p50 {one.p50:6.2f} ms   p95 {one.p95:6.2f}   p99 {one.p99:6.2f}   worst {one.worst:7.2f}"
        )
        for failure in one.failures:
            print(f"    {failure}")
    for name, one_wrk in figures.get("wrk", {}).items():  # type: ignore[attr-defined]
        print(f"wrk, {name:14} {one_wrk['rate']:8.0f} req/s   failed {one_wrk['failed']}")
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(figures | {"load": {name: one.as_json() for name, one in reports.items()}}, indent=2)
    (RESULTS / "route.json").write_text(text)


if __name__ == "__main__":
    main()
