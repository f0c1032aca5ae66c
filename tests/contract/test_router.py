"""What every Router promises, the fake included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from fakes import MemoryRouter

from gitpaas.errors import RouterFailed
from gitpaas.router import Router
from gitpaas.router.caddy import CaddyRouter
from gitpaas.values import Page

MAKE: dict[str, Callable[[Path], Router]] = {
    "caddy": lambda path: CaddyRouter(path / "routes"),
    "memory": lambda _: MemoryRouter(),
}


@pytest.fixture(params=MAKE)
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Router:
    return MAKE[request.param](tmp_path)


def test_a_new_table_is_empty(router: Router) -> None:
    assert router.routes() == {}


def test_a_host_points_at_the_addresses_of_the_last_call(router: Router) -> None:
    router.point("demo.localhost", ["127.0.0.1:20001"])
    router.point("demo.localhost", ["127.0.0.1:20002", "127.0.0.1:20003"])

    assert router.routes() == {"demo.localhost": ("127.0.0.1:20002", "127.0.0.1:20003")}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
def test_every_number_up_to_capacity_can_be_routed(router: Router, count: int) -> None:
    addresses = tuple(f"127.0.0.1:{20000 + number}" for number in range(count))
    router.point("demo.localhost", addresses)

    assert router.routes()["demo.localhost"] == addresses


@pytest.mark.parametrize("count", [0, 13])
def test_no_addresses_or_too_many_are_refused_and_change_nothing(router: Router, count: int) -> None:
    router.point("demo.localhost", ["127.0.0.1:20001"])

    with pytest.raises(RouterFailed):
        router.point("demo.localhost", [f"127.0.0.1:{20000 + number}" for number in range(count)])
    assert router.routes() == {"demo.localhost": ("127.0.0.1:20001",)}


@pytest.mark.parametrize("page", get_args(Page))
def test_a_page_takes_the_addresses_away_and_they_come_back(router: Router, page: Page) -> None:
    router.point("demo.localhost", ["127.0.0.1:20001"])
    router.show("demo.localhost", page)
    assert router.routes() == {"demo.localhost": page}

    router.point("demo.localhost", ["127.0.0.1:20001"])
    assert router.routes() == {"demo.localhost": ("127.0.0.1:20001",)}


def test_maintenance_leaves_what_lies_beneath(router: Router) -> None:
    router.point("demo.localhost", ["127.0.0.1:20001"])
    router.hold("demo.localhost", True)
    router.point("demo.localhost", ["127.0.0.1:20002"])
    router.hold("demo.localhost", True)
    router.hold("demo.localhost", False)
    router.hold("demo.localhost", False)

    assert router.routes() == {"demo.localhost": ("127.0.0.1:20002",)}


def test_a_host_nobody_knows_can_be_held_and_uncovered(router: Router) -> None:
    router.hold("demo.localhost", False)
    router.hold("demo.localhost", True)

    assert router.routes() == {}


def test_a_forgotten_host_is_gone_and_may_come_back(router: Router) -> None:
    router.point("demo.localhost", ["127.0.0.1:20001"])
    router.point("other.localhost", ["127.0.0.1:20002"])
    router.forget("demo.localhost")
    router.forget("demo.localhost")
    assert router.routes() == {"other.localhost": ("127.0.0.1:20002",)}

    router.show("demo.localhost", "empty")
    assert router.routes()["demo.localhost"] == "empty"


def test_one_host_is_told_like_all_of_them(router: Router) -> None:
    router.point("demo.localhost", ["127.0.0.1:20001", "127.0.0.1:20002"])
    router.show("page.localhost", "stopped")
    router.hold("held.localhost", True)

    assert router.route("demo.localhost") == ("127.0.0.1:20001", "127.0.0.1:20002")
    assert router.route("page.localhost") == "stopped"
    assert [router.route(host) for host in ("held.localhost", "nobody.localhost", "..", "")] == [None] * 4


def test_a_name_stands_for_a_host_until_it_is_taken_away(router: Router) -> None:
    assert router.aliases() == {}
    router.alias("www.example.com", "demo.localhost")
    router.alias("*.example.com", "other.localhost")
    router.alias("example.com", "demo.localhost")
    router.alias("example.com", "demo.localhost")
    router.alias("www.example.com", "other.localhost")
    assert router.aliases() == {
        "www.example.com": "other.localhost",
        "*.example.com": "other.localhost",
        "example.com": "demo.localhost",
    }

    router.alias("example.com", None)
    router.alias("*.example.com", None)
    router.alias("nobody.example.com", None)
    assert router.aliases() == {"www.example.com": "other.localhost"}


def test_names_are_no_hosts_and_change_with_none(router: Router) -> None:
    router.point("demo.localhost", ["127.0.0.1:20001"])
    router.alias("www.example.com", "demo.localhost")
    router.alias("late.example.com", "later.localhost")
    router.forget("demo.localhost")
    router.show("later.localhost", "empty")

    assert router.routes() == {"later.localhost": "empty"}
    assert router.route("www.example.com") is None
    assert router.aliases() == {"www.example.com": "demo.localhost", "late.example.com": "later.localhost"}


LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])


@pytest.mark.parametrize("name", [LONGEST, f"*.{LONGEST[2:]}", "localhost", "xn--bcher-kva.example"])
def test_any_name_of_the_dns_can_stand_for_a_host(router: Router, name: str) -> None:
    router.alias(name, "demo.localhost")
    assert router.aliases() == {name: "demo.localhost"}

    router.alias(name, None)
    assert router.aliases() == {}


@pytest.mark.parametrize("name", ["", "..", "a/b", "*", "*.", "*.*.com", "_.com", "A.com", "x.com.", "b\0", "x" * 254])
def test_what_is_no_name_stands_for_nothing(router: Router, name: str) -> None:
    for pair in ((name, "demo.localhost"), ("www.example.com", name)):
        if pair[1]:
            with pytest.raises(RouterFailed):
                router.alias(*pair)
    assert router.aliases() == {}


def test_nobody_is_connected_to_an_unused_address(router: Router) -> None:
    assert router.connections("127.0.0.1:1") == 0
