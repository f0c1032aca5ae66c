"""Certificates of a public CA, end to end: a real ACME server that looks for real names at ports 80 and 443."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pairs
import pytest
from acme import Authority, authority
from instances import until
from namespace import own_network
from routing import Routing, routing
from securely import Connection, certificate
from upstream import App, serving

from gitpaas.router import certificates

pytestmark = [pytest.mark.needs("root", "unshare"), pytest.mark.timeout(600)]

ADDRESS = ("127.0.0.1", 443)


@pytest.fixture
def network() -> Iterator[None]:
    with own_network():
        yield


@pytest.fixture
def ca(network: None, tmp_path: Path) -> Iterator[Authority]:
    with authority(tmp_path / "ca") as one:
        yield one


@pytest.fixture
def app(network: None) -> Iterator[App]:
    with serving() as running:
        yield running


def settings(ca: Authority) -> dict[str, object]:
    return {
        "http_port": 80,
        "https_port": 443,
        "base_domain": "apps.example.com",
        "acme_directory": ca.directory,
        "acme_root": ca.root,
        "acme_email": "ops@example.com",
    }


@pytest.fixture
def paas(ca: Authority, tmp_path: Path) -> Iterator[Routing]:
    with routing(tmp_path / "home", **settings(ca)) as running:
        yield running


def body(host: str, ca: Authority) -> bytes:
    connection = Connection(host, ADDRESS, ca.root)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_apps_and_domains_get_one_each_and_strangers_none(paas: Routing, ca: Authority, app: App) -> None:
    paas.router.point("demo.apps.example.com", [app.address])
    paas.router.alias("www.example.org", "demo.apps.example.com")
    paas.router.alias("*.example.org", "demo.apps.example.com")

    for number, host in enumerate(("demo.apps.example.com", "www.example.org"), 1):
        assert certificate(host, ADDRESS, ca.root)["subjectAltName"] == (("DNS", host),)
        assert body(host, ca) == b"1"
        assert ca.orders() == number

    for host in ("nobody.apps.example.com", "any.example.org", "example.net"):
        with pytest.raises(ssl.SSLError, match="alert internal error"):
            certificate(host, ADDRESS, ca.root)
    assert ca.orders() == 2
    assert paas.get("demo.apps.example.com", "/a").headers["location"] == "https://demo.apps.example.com/a"

    (one, other) = certificates.standings(paas.config, ["demo.apps.example.com", "www.example.org"])
    assert one.certificate
    assert other.certificate
    assert (one.certificate.issuer, one.certificate.own, one.failure) == ("Tests - ECC Intermediate", False, None)


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_either_way_of_looking_is_answered(network: None, app: App, tmp_path: Path, challenge: str) -> None:
    with authority(tmp_path / "ca", challenge) as ca, routing(tmp_path / "home", **settings(ca)) as paas:
        paas.router.point("demo.apps.example.com", [app.address])

        assert body("demo.apps.example.com", ca) == b"1"


def test_a_crowd_at_the_first_moment_is_one_order(paas: Routing, ca: Authority, app: App) -> None:
    paas.router.point("demo.apps.example.com", [app.address])

    crowd = [_Visitor("demo.apps.example.com", ca) for _ in range(20)]
    for visitor in crowd:
        visitor.join(200)

    assert [visitor.got for visitor in crowd] == [b"1"] * 20
    assert ca.orders() == 1


def test_local_names_are_no_business_of_that_ca(paas: Routing, ca: Authority, app: App) -> None:
    paas.router.point("demo.localhost", [app.address])
    own = paas.config.tls / "pki" / "authorities" / "local" / "root.crt"

    certificate("demo.localhost", ADDRESS, own)

    assert ca.orders() == 0


def test_after_a_restart_of_everything_there_is_no_new_order(ca: Authority, app: App, tmp_path: Path) -> None:
    with routing(tmp_path / "home", **settings(ca)) as paas:
        paas.router.point("demo.apps.example.com", [app.address])
        before = certificate("demo.apps.example.com", ADDRESS, ca.root)
    ca.end()
    ca.start()

    with routing(tmp_path / "home", **settings(ca)):
        assert certificate("demo.apps.example.com", ADDRESS, ca.root) == before
    assert ca.orders() == 1


def test_one_that_has_ended_is_renewed_by_the_next_request(paas: Routing, ca: Authority, app: App) -> None:
    # given a certificate that ended while nobody came
    paas.router.point("demo.apps.example.com", [app.address])
    certificate("demo.apps.example.com", ADDRESS, ca.root)
    paas.caddy.stop()
    (path,) = paas.config.tls.rglob("demo.apps.example.com.crt")
    pairs.write(path, path.with_suffix(".key"), "demo.apps.example.com", ends_in=-60)
    (ended,) = certificates.standings(paas.config, ["demo.apps.example.com"])
    assert ended.certificate
    assert ended.certificate.ends < time.time()

    # when somebody comes
    paas.caddy.start()
    assert body("demo.apps.example.com", ca) == b"1"

    # then there is another one
    (renewed,) = certificates.standings(paas.config, ["demo.apps.example.com"])
    assert renewed.certificate
    assert renewed.certificate.ends > time.time()
    assert ca.orders() == 2


def test_what_the_ca_refuses_is_said(paas: Routing, ca: Authority, app: App, caplog: pytest.LogCaptureFixture) -> None:
    watch = certificates.FailureWatch(paas.config)
    paas.router.point("refused.example.com", [app.address])
    visitor = _Visitor("refused.example.com", ca)

    with caplog.at_level(logging.WARNING, "gitpaas.router.certificates"):
        until(lambda: watch.run_once() or caplog.messages)

    (message,) = caplog.messages
    assert message.startswith("no certificate for refused.example.com: ")
    assert "will not issue" in message
    (standing,) = certificates.known(paas.config)
    assert standing.certificate is None
    assert standing.failure
    assert "will not issue" in standing.failure.error
    visitor.gives_up.set()
    paas.caddy.stop()
    visitor.join(60)


def test_a_ca_that_is_down_costs_other_hosts_nothing_and_is_asked_again(paas: Routing, ca: Authority, app: App) -> None:
    for host in ("one.apps.example.com", "two.apps.example.com"):
        paas.router.point(host, [app.address])
    assert body("one.apps.example.com", ca) == b"1"
    ca.end()

    visitor = _Visitor("two.apps.example.com", ca)

    until(lambda: certificates.failures(paas.config))
    assert body("one.apps.example.com", ca) == b"1"
    (_, failed) = certificates.standings(paas.config, ["one.apps.example.com", "two.apps.example.com"])
    assert failed.failure
    assert "connection refused" in failed.failure.error

    ca.start()
    until(lambda: certificates.standings(paas.config, ["two.apps.example.com"])[0].certificate, 400)
    assert body("two.apps.example.com", ca) == b"1"
    (mended,) = certificates.standings(paas.config, ["two.apps.example.com"])
    assert mended.failure is None
    visitor.join(60)


class _Visitor(threading.Thread):
    """Somebody who comes by until they are answered, or give up."""

    def __init__(self, host: str, ca: Authority) -> None:
        super().__init__()
        self._ask = host, ca
        self.gives_up = threading.Event()
        self.got = b""
        self.start()

    def run(self) -> None:
        while not self.gives_up.wait(0.2):
            with suppress(OSError):
                self.got = body(*self._ask)
                return
