"""The directory that CaddyRouter writes, as the Caddyfile reads it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitpaas.errors import RouterFailed
from gitpaas.router import caddy
from gitpaas.router.caddy import CaddyRouter


def names(routes: Path, host: str = "demo.localhost") -> list[str]:
    return sorted(path.name for path in (routes / host / "to").iterdir())


def test_addresses_are_repeated_to_fill_twelve_slots(tmp_path: Path) -> None:
    CaddyRouter(tmp_path).point("demo.localhost", ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"])

    assert names(tmp_path) == ["9999999999@" + ",".join(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"] * 4)]


def test_the_newest_comes_first_and_its_predecessor_stays_for_requests_on_their_way(tmp_path: Path) -> None:
    router = CaddyRouter(tmp_path)
    router.show("demo.localhost", "empty")
    router.show("demo.localhost", "starting")

    assert names(tmp_path) == ["9999999998@starting", "9999999999@empty"]


def test_what_was_replaced_long_ago_is_removed(tmp_path: Path) -> None:
    router = CaddyRouter(tmp_path)
    for page in ("empty", "starting", "crashed"):
        router.show("demo.localhost", page)  # type: ignore[arg-type]
    for file in (tmp_path / "demo.localhost" / "to").iterdir():
        os.utime(file, (1, 1))
    router.show("demo.localhost", "stopped")

    assert names(tmp_path) == ["9999999996@stopped", "9999999997@crashed"]


def test_the_same_again_writes_nothing(tmp_path: Path) -> None:
    router = CaddyRouter(tmp_path)
    for _ in range(3):
        router.point("demo.localhost", ["127.0.0.1:1"])

    assert len(names(tmp_path)) == 1


def test_the_longest_addresses_fit_a_file_name(tmp_path: Path) -> None:
    addresses = tuple(f"127.0.0.1:{60000 + number}" for number in range(12))
    CaddyRouter(tmp_path).point("demo.localhost", addresses)

    assert CaddyRouter(tmp_path).routes() == {"demo.localhost": addresses}


@pytest.mark.parametrize("host", ["", ".", "..", "../x", "a/b", "*", "A.localhost", "a.", ".a", "a\0b", "ü", "x" * 254])
def test_a_host_that_is_not_a_host_name_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(RouterFailed, match="host name"):
        CaddyRouter(tmp_path).show(host, "empty")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["", "starting", "a,b:1", "a/b:1", "127.0.0.1", "127.0.0.1:x", "A:1"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(RouterFailed, match="address"):
        CaddyRouter(tmp_path).point("demo.localhost", [address])


def test_a_table_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "demo.localhost").write_text("in the way")

    with pytest.raises(RouterFailed, match=r"demo\.localhost cannot be changed") as failed:
        CaddyRouter(tmp_path).show("demo.localhost", "empty")
    assert failed.value.hint


def test_a_forget_that_was_killed_half_way_is_finished_by_the_next(tmp_path: Path) -> None:
    router = CaddyRouter(tmp_path)
    router.show("demo.localhost", "empty")
    (tmp_path / "demo.localhost").rename(tmp_path / ".gone-demo.localhost")
    router.show("demo.localhost", "starting")
    assert router.routes() == {"demo.localhost": "starting"}

    router.forget("demo.localhost")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_processes_that_switch_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gitpaas.router.caddy import CaddyRouter\n"
        "router = CaddyRouter(Path(sys.argv[1]))\n"
        "for n in range(50): router.point('demo.localhost', [f'127.0.0.1:{sys.argv[2]}{n:02}'])\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), n]) for n in "123"]

    assert [child.wait(100) for child in children] == [0, 0, 0]
    newest = names(tmp_path)[0]
    assert newest.startswith(f"{caddy._FIRST - 149:010d}@")
    assert CaddyRouter(tmp_path).routes()["demo.localhost"][0].endswith("49")


def aged(routes: Path, host: str = "demo.localhost", seconds: float = 60) -> None:
    """As if it had been changed so long ago."""
    moment = time.time() - seconds
    os.utime(routes / host / "to", (moment, moment))


def test_a_host_that_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    router, hosts = CaddyRouter(tmp_path), [f"app-{number}.localhost" for number in range(20)]
    for host in hosts:
        router.show(host, "stopped")
        aged(tmp_path, host)
    before = router.routes()
    monkeypatch.setattr(router, "route", lambda host: pytest.fail(f"{host} was read again"))
    assert router.routes() == before == dict.fromkeys(hosts, "stopped")


def test_what_others_change_is_seen_at_once(tmp_path: Path) -> None:
    router, other = CaddyRouter(tmp_path), CaddyRouter(tmp_path)
    for answer in ("127.0.0.1:1", "127.0.0.1:2"):
        other.point("demo.localhost", [answer])
        assert router.routes() == {"demo.localhost": (answer,)}
        aged(tmp_path)
        assert router.routes() == {"demo.localhost": (answer,)}
    other.forget("demo.localhost")
    assert router.routes() == {}
    other.show("demo.localhost", "empty")
    assert router.routes() == {"demo.localhost": "empty"}


def test_a_route_that_is_removed_by_hand_is_missed_at_once(tmp_path: Path) -> None:
    router = CaddyRouter(tmp_path)
    router.show("demo.localhost", "empty")
    aged(tmp_path)
    assert router.routes() == {"demo.localhost": "empty"}
    for file in (tmp_path / "demo.localhost" / "to").iterdir():
        file.unlink()
    assert router.routes() == {}


def test_a_change_within_the_tick_of_the_one_before_is_seen(tmp_path: Path) -> None:
    router = CaddyRouter(tmp_path)
    router.show("demo.localhost", "empty")
    moment = (tmp_path / "demo.localhost" / "to").stat().st_mtime
    router.routes()
    router.show("demo.localhost", "stopped")
    os.utime(tmp_path / "demo.localhost" / "to", (moment, moment))
    assert router.routes() == {"demo.localhost": "stopped"}
