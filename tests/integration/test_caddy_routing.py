"""The Caddyfile with real Caddy: pages and their statuses, hosts, headers, balance."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from instances import until
from ports import free_port
from routing import Routing, routing
from upstream import App, serving

from gitpaas.values import Page


@pytest.fixture(scope="module")
def paas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routing]:
    # A state directory may have any name: its path is nowhere in Caddy's configuration.
    with routing(tmp_path_factory.mktemp("odd {name} [x]*") / ("long" * 40)) as running:
        yield running


@pytest.fixture
def app() -> Iterator[App]:
    with serving() as running:
        yield running


PAGES: dict[Page, tuple[int, str]] = {
    "starting": (503, "Starting"),
    "crashed": (502, "Crashed"),
    "stopped": (503, "Stopped"),
    "empty": (404, "No release yet"),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_each_page_has_its_status_for_every_method(paas: Routing, page: Page, method: str) -> None:
    paas.router.show("page.localhost", page)
    answer = paas.get("page.localhost", "/any/path?x=1", method)

    status, title = PAGES[page]
    assert answer.status == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert ("retry-after" in answer.headers) == (status == 503)
    assert answer.body == b"" if method == "HEAD" else f"<h1>{title}</h1>".encode() in answer.body


def test_an_unknown_host_is_404(paas: Routing) -> None:
    answer = paas.get("nobody.localhost")

    assert answer.status == 404
    assert b"No such app" in answer.body
    assert "retry-after" not in answer.headers


def test_maintenance_covers_the_app_and_is_lifted(paas: Routing, app: App) -> None:
    paas.router.point("held.localhost", [app.address])
    paas.router.hold("held.localhost", True)
    covered = paas.get("held.localhost")
    paas.router.hold("held.localhost", False)

    assert (covered.status, "retry-after" in covered.headers) == (503, True)
    assert b"maintenance" in covered.body
    assert paas.get("held.localhost").body == b"1"


def test_a_dead_instance_is_502_with_our_page(paas: Routing) -> None:
    paas.router.point("dead.localhost", [f"127.0.0.1:{free_port()}"])
    answer = paas.get("dead.localhost")

    assert answer.status == 502
    assert b"Not answering" in answer.body


@pytest.mark.parametrize("code", [400, 404, 500, 502, 503, 504])
def test_an_apps_own_error_page_stays_its_own(paas: Routing, app: App, code: int) -> None:
    paas.router.point("own.localhost", [app.address])
    answer = paas.get("own.localhost", f"/status?code={code}")

    assert (answer.status, answer.body) == (code, b"the app's own page")
    assert "retry-after" not in answer.headers


def test_a_request_in_the_gap_waits_for_the_new_instance(paas: Routing, app: App) -> None:
    gone = f"127.0.0.1:{free_port()}"
    paas.router.point("gap.localhost", [gone, app.address])

    assert {paas.get("gap.localhost").status for _ in range(20)} == {200}


@pytest.mark.parametrize("host", ["DEMO.localhost", "demo.LOCALHOST", "demo.localhost.", "Demo.Localhost.:8080"])
def test_a_host_may_be_spelt_in_capitals_or_with_a_trailing_dot(paas: Routing, app: App, host: str) -> None:
    paas.router.point("demo.localhost", [app.address])

    assert paas.get(host).body == b"1"


@pytest.mark.parametrize("host", ["www.example.com", "WWW.Example.COM", "www.example.com.", "www.example.com:8080"])
def test_a_name_answers_as_the_host_that_it_stands_for(paas: Routing, app: App, host: str) -> None:
    paas.router.alias("www.example.com", "named.localhost")
    assert paas.get(host).status == 404
    for page in PAGES:
        paas.router.show("named.localhost", page)
        assert paas.get(host).status == PAGES[page][0]

    paas.router.point("named.localhost", [app.address])
    assert paas.get(host).body == b"1"
    assert f'"host": "{host.lower()}"' in paas.get(host, "/headers").body.decode()
    paas.router.hold("named.localhost", True)
    assert b"maintenance" in paas.get(host).body
    paas.router.hold("named.localhost", False)
    assert paas.get(host).body == b"1"

    paas.router.forget("named.localhost")
    assert paas.get(host).status == 404


def test_the_nearest_name_answers(paas: Routing) -> None:
    with ExitStack() as stack:
        for name in ("apex", "exact", "wild", "deep"):
            paas.router.point(f"{name}.localhost", [stack.enter_context(serving(name)).address])
        for name, host in {
            "example.org": "apex",
            "www.example.org": "exact",
            "*.example.org": "wild",
            "*.deep.example.org": "deep",
        }.items():
            paas.router.alias(name, f"{host}.localhost")

        def answers(*hosts: str) -> list[str]:
            return [paas.get(host).body.decode() for host in hosts]

        assert answers("example.org", "www.example.org", "any.example.org", "WWW.Example.ORG.", "Any.Example.org.") == [
            "apex", "exact", "wild", "exact", "wild",
        ]  # fmt: skip
        assert answers("a.deep.example.org", "deep.example.org", "1-2.example.org") == ["deep", "wild", "wild"]
        unknown = [
            "a.b.example.org",
            "a.b.deep.example.org",
            "_.example.org",
            "*.example.org",
            "-.example.org.x",
            "org",
        ]
        assert [paas.get(host).status for host in unknown] == [404] * len(unknown)

        # One that comes later goes before the wildcard, and leaves it when it goes.
        paas.router.alias("any.example.org", "exact.localhost")
        assert answers("any.example.org") == ["exact"]
        paas.router.alias("any.example.org", None)
        assert answers("any.example.org") == ["wild"]
        paas.router.alias("*.example.org", None)
        assert [paas.get(host).status for host in ("any.example.org", "www.example.org")] == [404, 200]


def test_maintenance_of_a_wildcard_covers_what_it_stands_for_alone(paas: Routing) -> None:
    with serving("exact") as exact, serving("wild") as wild:
        paas.router.point("calm.localhost", [exact.address])
        paas.router.point("busy.localhost", [wild.address])
        paas.router.alias("www.example.net", "calm.localhost")
        paas.router.alias("*.example.net", "busy.localhost")

        paas.router.hold("busy.localhost", True)
        assert [paas.get(f"{name}.example.net").status for name in ("www", "any")] == [200, 503]
        paas.router.hold("busy.localhost", False)
        paas.router.hold("calm.localhost", True)
        assert [paas.get(f"{name}.example.net").status for name in ("www", "any")] == [503, 200]


def test_a_host_itself_goes_before_a_name_that_is_spelt_like_it(paas: Routing) -> None:
    with serving("own") as own, serving("other") as other:
        paas.router.point("own.localhost", [own.address])
        paas.router.point("other.localhost", [other.address])
        paas.router.alias("own.localhost", "other.localhost")

        assert paas.get("own.localhost").body == b"own"


@pytest.mark.parametrize(
    "host",
    [
        b"..", b"../secret", b"..%2fsecret", b"%2e%2e", b"", b"*", b"?", b"[a-z]*.localhost", b"[::1]", b"[::1]:80",
        b"127.0.0.1", b"secret/to", b"x/../secret", b"\\..\\secret", b"secret\x00", b"se\xc3\xbc", b"{env.HOME}", b"-",
        b"a" * 300, b".", b".secret", b"secret..", b".lock",
        b".aliases", b".aliases/_.secret", b"_.secret", b"*.secret", b"..secret", b"a/b.secret", b"?.secret",
        b"a..secret",
    ],
)  # fmt: skip
def test_a_strange_host_never_leaves_the_routing_table(paas: Routing, app: App, host: bytes) -> None:
    paas.router.point("secret", [app.address])
    paas.router.alias("*.secret", "secret")
    # What a host of `..` would find: the state directory itself must not be a route.
    outside = paas.config.home / "to"
    outside.mkdir(exist_ok=True)
    (outside / f"0@{','.join([app.address] * 12)}").touch()

    answer = paas.raw(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 (400|404) ", answer)
    assert app.hits == 0


def test_a_request_without_a_host_is_answered(paas: Routing) -> None:
    assert b" 404 " in paas.raw(b"GET / HTTP/1.0\r\n\r\n")


def test_the_app_sees_who_asked_and_not_what_the_client_claims(paas: Routing, app: App) -> None:
    paas.router.point("headers.localhost", [app.address])
    spoofed = {
        "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "1",
        "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X_Forwarded_For": "6.6.6.6", "X-Forwarded_For": "6.6.6.6",
    }  # fmt: skip
    seen = paas.ask("headers.localhost", "/headers", headers=spoofed | {"X-Own": "kept"}).body.decode()

    assert "6.6.6.6" not in seen
    assert "evil" not in seen
    for expected in (
        '"host": "headers.localhost"', '"x-forwarded-for": "127.0.0.1"', '"x-forwarded-host": "headers.localhost"',
        '"x-forwarded-proto": "http"', f'"x-forwarded-port": "{paas.config.http_port}"', '"x-real-ip": "127.0.0.1"',
        '"x-own": "kept"',
    ):  # fmt: skip
        assert expected in seen


@pytest.mark.parametrize(
    ("trusted", "said", "seen"),
    [
        ("127.0.0.1", "203.0.113.9", {"x-forwarded-for": "203.0.113.9, 127.0.0.1", "x-real-ip": "203.0.113.9"}),
        ("127.0.0.0/8, ::1, 198.51.100.0/24", "6.6.6.6, 203.0.113.9, 198.51.100.7",
         {"x-forwarded-for": "6.6.6.6, 203.0.113.9, 198.51.100.7, 127.0.0.1", "x-real-ip": "203.0.113.9"}),
    ],
)  # fmt: skip
def test_what_a_trusted_proxy_says_is_what_the_app_sees(
    tmp_path: Path, app: App, trusted: str, said: str, seen: dict[str, str]
) -> None:
    with routing(tmp_path / "home", trusted_proxies=trusted) as paas:
        paas.router.point("proxied.localhost", [app.address])
        told = {"X-Forwarded-For": said, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}
        got = json.loads(paas.ask("proxied.localhost", "/headers", headers=told).body)
        alone = json.loads(paas.ask("proxied.localhost", "/headers").body)

        assert {name: got[name] for name in seen} == seen
        assert (got["x-forwarded-proto"], got["x-forwarded-port"]) == ("https", "443")
        assert (alone["x-forwarded-for"], alone["x-real-ip"], alone["x-forwarded-proto"]) == ("127.0.0.1",) * 2 + (
            "http",
        )
        assert alone["x-forwarded-port"] == str(paas.config.http_port)


def test_what_others_than_the_trusted_say_does_not_count(tmp_path: Path, app: App) -> None:
    with routing(tmp_path / "home", trusted_proxies="198.51.100.0/24") as paas:
        paas.router.point("proxied.localhost", [app.address])
        told = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}
        got = json.loads(paas.ask("proxied.localhost", "/headers", headers=told).body)

        assert (got["x-forwarded-for"], got["x-real-ip"], got["x-forwarded-proto"]) == ("127.0.0.1",) * 2 + ("http",)
        assert got["x-forwarded-port"] == str(paas.config.http_port)


def test_three_instances_share_the_requests(paas: Routing) -> None:
    with ExitStack() as stack:
        apps = [stack.enter_context(serving(name)) for name in "abc"]
        paas.router.point("three.localhost", [app.address for app in apps])
        answers = Counter(paas.get("three.localhost").body for _ in range(300))

    assert set(answers) == {b"a", b"b", b"c"}
    assert min(answers.values()) > 60


def test_a_dead_one_of_three_costs_no_request(paas: Routing) -> None:
    with serving("a") as one, serving("b") as two:
        paas.router.point("limping.localhost", [one.address, f"127.0.0.1:{free_port()}", two.address])
        began = time.monotonic()
        statuses = Counter(
            paas.ask("limping.localhost", method=method, body=body).status
            for method, body in [("GET", None), ("POST", b"x" * 100_000)] * 75
        )

    assert statuses == {200: 150}
    assert time.monotonic() - began < 200


def test_one_app_being_dead_costs_another_nothing(paas: Routing, app: App) -> None:
    paas.router.point("bad.localhost", [f"127.0.0.1:{free_port()}"])
    paas.router.point("good.localhost", [app.address])

    assert paas.get("bad.localhost").status == 502
    assert [paas.get("good.localhost").status for _ in range(30)] == [200] * 30


def test_idle_instances_count_no_connection_after_a_moment(paas: Routing, app: App) -> None:
    paas.router.point("idle.localhost", [app.address])
    until(lambda: paas.get("idle.localhost") and paas.router.connections(app.address) == 1)

    until(lambda: paas.router.connections(app.address) == 0)


def test_caddy_writes_nothing_but_its_own_files(paas: Routing) -> None:
    paas.get("nobody.localhost")
    logs = {path.name for path in paas.config.caddy.iterdir() if path.is_file()}

    assert logs == {"caddy.log", "output.log"}
    assert "nobody.localhost" not in (paas.config.caddy / "caddy.log").read_text()  # no access log
    for path, mode in [("admin.sock", 0o600), ("caddy.log", 0o600), ("output.log", 0o600)]:
        assert (paas.config.caddy / path).stat().st_mode & 0o777 == mode


def test_a_home_with_a_long_path_is_fine(paas: Routing) -> None:
    assert len(str(Path(paas.config.caddy / "admin.sock"))) > 108  # what a socket's address can hold
