"""Twenty switches under load: nobody notices."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bench.load import Load
from routing import Routing, routing
from upstream import serving


def test_twenty_switches_under_load_lose_no_request(tmp_path: Path) -> None:
    with routing(tmp_path / "home") as paas:
        report = switch_under_load(paas, switches=20, pause=0.15)

    assert report.failed == 0, report
    assert report.stale == 0, report
    assert report.ok > 50, report


def test_switches_back_to_back_lose_no_request(tmp_path: Path) -> None:
    with routing(tmp_path / "home") as paas, serving("1") as one, serving("1") as two:
        paas.router.point("demo.localhost", [one.address])
        with Load(paas.address, "demo.localhost", rate=200) as load:
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                paas.router.point("demo.localhost", [one.address])
                paas.router.point("demo.localhost", [two.address])

    assert load.report().failed == 0, load.report()


def test_a_name_that_comes_and_goes_before_its_wildcard_loses_no_request(tmp_path: Path) -> None:
    with routing(tmp_path / "home") as paas, serving("1") as one, serving("1") as two:
        paas.router.point("one.localhost", [one.address])
        paas.router.point("two.localhost", [two.address])
        paas.router.alias("*.example.com", "one.localhost")
        with Load(paas.address, "www.example.com", rate=400) as load:
            until = time.monotonic() + 3
            while time.monotonic() < until:
                for host in ("one.localhost", "two.localhost", None):
                    paas.router.alias("www.example.com", host)

    assert load.report().failed == 0, load.report()
    assert load.report().ok > 50, load.report()


@pytest.mark.parametrize("page", ["stopped", "crashed"])
def test_a_host_is_never_unknown_between_a_page_and_its_addresses(tmp_path: Path, page: str) -> None:
    expected = {"status 502", "status 503"}
    with routing(tmp_path / "home") as paas, serving("1") as app:
        paas.router.point("demo.localhost", [app.address])
        with Load(paas.address, "demo.localhost", rate=200) as load:
            until = time.monotonic() + 1.5
            while time.monotonic() < until or load.answers <= 10:
                paas.router.show("demo.localhost", page)  # type: ignore[arg-type]
                paas.router.point("demo.localhost", [app.address])

    assert {failure.split(": ")[1] for failure in load.report().failures} <= expected
    assert load.report().ok > 10


def switch_under_load(paas: Routing, *, switches: int, pause: float) -> object:
    """Start new, point, drain, stop old: as a deploy does it, without the deploy."""
    app = serving("0")
    address = app.__enter__().address
    paas.router.point("demo.localhost", [address])
    running = {address: app}  # what drains, and what is routed
    with Load(paas.address, "demo.localhost", rate=200) as load:
        for version in range(1, switches + 1):
            app = serving(str(version))
            address = app.__enter__().address
            time.sleep(pause)
            paas.router.point("demo.localhost", [address])
            load.floor = version
            time.sleep(pause)
            for drained in [one for one in running if not paas.router.connections(one)]:
                running.pop(drained).__exit__(None, None, None)
            running[address] = app
    for app in running.values():
        app.__exit__(None, None, None)
    return load.report()
