"""HTTPS with real Caddy and its own CA: certificates as hosts come, who gets none, and what becomes of plain HTTP."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instances import until
from ports import free_port
from routing import Routing, read, routing, settings
from securely import Connection, certificate
from upstream import App, serving
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from gitpaas.errors import Conflict
from gitpaas.ports import connectable
from gitpaas.router import certificates
from gitpaas.router.command import command, environment, find_binary
from gitpaas.router.process import CaddyProcess

REFUSED = "alert internal error"


@pytest.fixture(scope="module")
def paas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routing]:
    # Under any name, as in test_caddy_routing.
    with routing(tmp_path_factory.mktemp("odd {name} [x]*") / "home", https_port=free_port()) as running:
        yield running


@pytest.fixture
def app() -> Iterator[App]:
    with serving() as running:
        yield running


def address(paas: Routing) -> tuple[str, int]:
    return paas.config.bind, paas.config.https_port


def root(paas: Routing) -> Path:
    return paas.config.tls / "pki" / "authorities" / "local" / "root.crt"


def seen(paas: Routing, host: str) -> dict[str, object]:
    return certificate(host, address(paas), root(paas))


def secure(paas: Routing, host: str) -> Connection:
    return Connection(host, address(paas), root(paas))


def get(paas: Routing, host: str, path: str = "/") -> bytes:
    connection = secure(paas, host)
    try:
        connection.request("GET", path)
        return read(connection).body
    finally:
        connection.close()


def curl(paas: Routing, host: str, *more: str) -> subprocess.CompletedProcess[str]:
    bind, port = address(paas)
    argv = ["curl", "-sS", "--resolve", f"{host}:{port}:{bind}", "--cacert", str(root(paas)), *more]
    return subprocess.run([*argv, f"https://{host}:{port}/"], capture_output=True, text=True, check=False, timeout=100)


def configuration(home: Path, **values: object) -> dict[str, Any]:
    config = settings(home, **values)
    argv = command(find_binary(config.environ["PATH"]), "adapt")
    return dict(json.loads(subprocess.run(argv, env=environment(config), capture_output=True, check=True).stdout))


def test_without_https_nothing_of_it_is_in_the_configuration(tmp_path: Path) -> None:
    adapted = configuration(tmp_path / "home")

    assert set(adapted) == {"admin", "logging", "apps"}
    assert set(adapted["logging"]["logs"]) == {"default"}
    assert set(adapted["apps"]) == {"http"}
    assert set(adapted["apps"]["http"]) == {"grace_period", "servers"}
    (server,) = adapted["apps"]["http"]["servers"].values()
    assert server["automatic_https"] == {"disable": True}
    text = json.dumps(server)
    assert "certificate" not in text
    assert "asked" not in text


def test_the_own_root_is_put_into_no_trust_store(tmp_path: Path) -> None:
    adapted = configuration(tmp_path / "home", https_port=8443)

    assert adapted["apps"]["pki"]["certificate_authorities"]["local"]["install_trust"] is False


@pytest.mark.parametrize(
    "host",
    [
        "demo.localhost",
        "shop.test",
        "api.v2.shop.test",
        "nas.home.arpa",
        "v1.api.eu.shop.corp.example.internal",
        "intranet",
        f"{'long' * 15}.{'name' * 15}.test",
    ],
)
def test_a_host_has_a_certificate_with_its_first_request(paas: Routing, app: App, host: str) -> None:
    paas.router.point(host, [app.address])
    began = paas.caddy.pid()

    found = seen(paas, host)

    assert found["subjectAltName"] == (("DNS", host),)
    assert get(paas, host) == b"1"
    assert paas.caddy.pid() == began


@pytest.mark.needs("curl")
def test_curl_trusts_it_and_speaks_http_2(paas: Routing, app: App) -> None:
    paas.router.point("curl.localhost", [app.address])

    done = curl(paas, "curl.localhost", "-w", " %{http_version}")

    assert (done.returncode, done.stdout) == (0, "1 2"), done.stderr


def test_a_domain_has_one_of_its_own(paas: Routing, app: App) -> None:
    paas.router.point("owner.localhost", [app.address])
    paas.router.alias("www.shop.internal", "owner.localhost")

    assert seen(paas, "www.shop.internal")["subjectAltName"] == (("DNS", "www.shop.internal"),)


def test_names_beneath_a_wildcard_have_one_where_no_public_ca_is_asked(paas: Routing, app: App) -> None:
    paas.router.point("wild.localhost", [app.address])
    paas.router.alias("*.wild.test", "wild.localhost")
    paas.router.alias("*.example.com", "wild.localhost")

    assert get(paas, "any.wild.test") == b"1"
    with pytest.raises(ssl.SSLError, match=REFUSED):
        seen(paas, "any.example.com")
    assert paas.get("any.wild.test").status == 308
    assert paas.get("any.example.com").body == b"1"


def test_no_public_ca_is_asked_for_a_local_name_that_is_too_deep_for_the_own_one(paas: Routing, app: App) -> None:
    paas.router.point("deep.localhost", [app.address])
    for name in ("a.b.c.d.e.f.g.test", "*.b.c.d.e.f.deep.test", "*.c.d.e.f.deep.test"):
        paas.router.alias(name, "deep.localhost")

    assert get(paas, "any.c.d.e.f.deep.test") == b"1"
    for host in ("a.b.c.d.e.f.g.test", "any.b.c.d.e.f.deep.test"):
        with pytest.raises(ssl.SSLError, match=REFUSED):
            seen(paas, host)
        assert paas.get(host).body == b"1"
    assert not [failure for failure in certificates.failures(paas.config) if failure.host.endswith(".test")]


@pytest.mark.parametrize(
    "host",
    [
        "nobody.localhost", "localhost", "example.com", "127.0.0.1", f"{'a' * 63}.localhost",
        "*.localhost", "_.wild.test", "unknown/to.localhost", "?.localhost",
    ],
)  # fmt: skip
def test_an_unknown_host_has_none(paas: Routing, host: str) -> None:
    before = sorted(paas.config.tls.rglob("*.crt"))

    with socket.create_connection(address(paas), 60) as connection:
        context = ssl.create_default_context(cafile=str(root(paas)))
        with pytest.raises(ssl.SSLError, match=REFUSED):
            context.wrap_socket(connection, server_hostname=host)

    assert sorted(paas.config.tls.rglob("*.crt")) == before


def test_a_host_that_says_no_name_is_refused(paas: Routing) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address(paas), 60) as connection, pytest.raises(ssl.SSLError, match=REFUSED):
        context.wrap_socket(connection)


def test_a_host_that_is_gone_gets_none_any_more(paas: Routing, app: App) -> None:
    paas.router.point("gone.localhost", [app.address])
    paas.router.forget("gone.localhost")

    with pytest.raises(ssl.SSLError, match=REFUSED):
        seen(paas, "gone.localhost")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of naming that version at all
def test_an_old_version_of_tls_is_refused(paas: Routing, app: App) -> None:
    paas.router.point("old.localhost", [app.address])
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        connection = Connection("old.localhost", address(paas), root(paas), maximum_version=version)
        connection.connect()
        connection.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(address(paas), 60) as connection, pytest.raises(ssl.SSLError, match="protocol"):
        context.wrap_socket(connection, server_hostname="old.localhost")


@pytest.mark.parametrize("host", ["plain.localhost", "PLAIN.localhost", "plain.localhost."])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_is_sent_on(paas: Routing, app: App, host: str, method: str) -> None:
    paas.router.point("plain.localhost", [app.address])

    answer = paas.get(host, "/a%20b/?c=d&e", method)

    assert answer.status == 308
    assert answer.headers["location"] == f"https://plain.localhost:{paas.config.https_port}/a%20b/?c=d&e"
    assert answer.headers["cache-control"] == "no-store"
    assert app.hits == 0


def test_plain_http_to_an_unknown_host_is_sent_nowhere(paas: Routing) -> None:
    answer = paas.get("nobody.localhost")

    assert answer.status == 404
    assert b"No such app" in answer.body


def test_plain_http_serves_on_where_that_is_wished(tmp_path: Path, app: App) -> None:
    with routing(tmp_path / "home", https_port=free_port(), https_redirect="off") as paas:
        paas.router.point("demo.localhost", [app.address])
        headers = json.loads(paas.get("demo.localhost", "/headers").body)

        assert headers["x-forwarded-proto"] == "http"
        assert headers["x-forwarded-port"] == str(paas.config.http_port)
        assert get(paas, "demo.localhost") == b"1"


@pytest.mark.parametrize(
    ("trusted", "proto", "status"),
    [("127.0.0.1", "https", 200), ("127.0.0.1", "http", 308), ("127.0.0.1", None, 308), ("192.0.2.7", "https", 308)],
)
def test_what_came_to_a_proxy_in_front_over_https_is_not_sent_there_again(
    tmp_path: Path, app: App, trusted: str, proto: str | None, status: int
) -> None:
    with routing(tmp_path / "home", https_port=free_port(), trusted_proxies=trusted) as paas:
        paas.router.point("demo.localhost", [app.address])
        said = {"X-Forwarded-Proto": proto} if proto else {}

        answer = paas.ask("demo.localhost", "/headers", headers=said)

        assert answer.status == status
        assert status == 308 or json.loads(answer.body)["x-forwarded-proto"] == "https"


def test_the_app_sees_that_it_was_https(paas: Routing, app: App) -> None:
    paas.router.point("seen.localhost", [app.address])

    headers = json.loads(get(paas, "seen.localhost", "/headers"))

    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-port"] == str(paas.config.https_port)


@pytest.mark.parametrize("bind", ["0.0.0.0", "127.0.0.2", "localhost"])
def test_whatever_address_it_listens_on(tmp_path: Path, app: App, bind: str) -> None:
    with routing(tmp_path / "home", bind=bind, https_port=free_port()) as paas:
        paas.router.point("demo.localhost", [app.address])

        assert certificate("demo.localhost", (connectable(bind), paas.config.https_port), root(paas))


def test_caddys_question_to_itself_takes_no_path_from_an_app(paas: Routing, app: App) -> None:
    paas.router.point("asks.localhost", [app.address])
    itself = f"{paas.config.bind}:{paas.config.http_port}"

    assert paas.get(itself, "/certificate?domain=asks.localhost").status == 200
    for path in ("?domain=nobody.localhost", "?domain=../routes", "?domain=*", "", "?domain=."):
        assert paas.get(itself, f"/certificate{path}").status == 404
    assert paas.get("asks.localhost", "/certificate?domain=nobody.localhost").status == 308
    assert get(paas, "asks.localhost", "/certificate") == b"the app's own 404"


def test_switches_under_load_fail_no_request(paas: Routing) -> None:
    failures: list[object] = []
    counts = [0]
    over = threading.Event()

    def visit(keep: bool) -> None:
        connection = secure(paas, "busy.localhost")
        while not over.is_set():
            try:
                connection.request("POST", "/upload", body=b"x" * 1000)
                answer = read(connection)
                counts[0] += 1
                if (answer.status, answer.body) != (200, b"1000"):
                    failures.append(answer)
            except OSError as error:
                failures.append(error)
            if not keep:
                connection.close()
        connection.close()

    with serving("1") as one, serving("2") as two:
        paas.router.point("busy.localhost", [one.address])
        get(paas, "busy.localhost")
        visitors = [threading.Thread(target=visit, args=(keep,)) for keep in (True, True, False)]
        for visitor in visitors:
            visitor.start()
        for number in range(30):
            paas.router.point("busy.localhost", [(one, two)[number % 2].address])
            reached = counts[0]
            until(lambda reached=reached: counts[0] > reached + 5)  # type: ignore[misc]
        over.set()
        for visitor in visitors:
            visitor.join(100)

    assert failures == []
    assert counts[0] > 100


def test_a_stream_and_a_websocket_stay_across_a_switch(paas: Routing) -> None:
    def echo(version: str, client: ServerConnection) -> None:
        for message in client:
            client.send(f"{version} {message!s}")

    context = ssl.create_default_context(cafile=str(root(paas)))
    with serving("1") as old, serving("2") as new, serve(lambda c: echo("1", c), "127.0.0.1", 0) as sockets:
        thread = threading.Thread(target=sockets.serve_forever)
        thread.start()
        paas.router.point("open.localhost", [old.address])
        paas.router.point("ws.localhost", [f"127.0.0.1:{sockets.socket.getsockname()[1]}"])
        stream = secure(paas, "open.localhost")
        stream.request("GET", "/two_events")
        events = stream.getresponse()
        assert events.readline() == b"data: 0\n"
        tcp = socket.create_connection(address(paas), 60)
        with connect("wss://ws.localhost/", sock=tcp, ssl=context, proxy=None) as client:
            paas.router.point("open.localhost", [new.address])
            paas.router.point("ws.localhost", [new.address])
            client.send("still here")
            assert client.recv(60) == "1 still here"
        old.go.set()
        assert b"data: 1\n" in events.read()
        stream.close()
        sockets.shutdown()
        thread.join()


def test_certificates_and_the_root_outlive_a_restart(tmp_path: Path, app: App) -> None:
    with routing(tmp_path / "home", https_port=free_port()) as paas:
        paas.router.point("demo.localhost", [app.address])
        before, trusted = seen(paas, "demo.localhost"), root(paas).read_text()
        paas.caddy.stop()
        paas.caddy.start()

        assert seen(paas, "demo.localhost") == before
        assert certificates.root(paas.config) == trusted


def test_keys_are_for_nobody_else(paas: Routing, app: App) -> None:
    paas.router.point("keys.localhost", [app.address])
    seen(paas, "keys.localhost")

    assert paas.config.tls.stat().st_mode & 0o777 == 0o700
    keys = list(paas.config.tls.rglob("*.key"))
    assert "keys.localhost.key" in {key.name for key in keys}
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert paas.config.certificates_log.parent.stat().st_mode & 0o077 == 0


def test_https_comes_and_goes_with_the_settings_of_a_running_router(tmp_path: Path, app: App) -> None:
    with routing(tmp_path / "home") as paas:
        paas.router.point("demo.localhost", [app.address])
        pid = paas.caddy.pid()
        ports = {"http_port": paas.config.http_port, "https_port": free_port()}
        secured = Routing(settings(tmp_path / "home", **ports), paas.caddy, paas.router)
        CaddyProcess(secured.config).start()

        assert get(secured, "demo.localhost") == b"1"
        assert paas.get("demo.localhost").status == 308

        CaddyProcess(paas.config).start()
        assert paas.get("demo.localhost").body == b"1"
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address(secured), 60)
        assert paas.caddy.pid() == pid


def test_a_port_that_is_taken_is_said_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = settings(tmp_path / "home", https_port=taken.getsockname()[1])
        with pytest.raises(Conflict, match=f"{config.https_port} is taken by .* \\(pid {os.getpid()}\\)") as caught:
            CaddyProcess(config).start()
    assert "GITPAAS_HTTPS_PORT" in str(caught.value.hint)


def test_how_hosts_stand(paas: Routing, app: App) -> None:
    paas.router.point("stands.localhost", [app.address])
    assert certificates.standings(paas.config, ["stands.localhost"])[0].certificate is None

    seen(paas, "stands.localhost")

    (one,) = certificates.standings(paas.config, ["stands.localhost"])
    assert one.failure is None
    assert one.certificate
    assert (one.certificate.issuer, one.certificate.own) == ("this server", True)
    assert one.certificate.begins < time.time() < one.certificate.ends
    assert "stands.localhost" in {known.host for known in certificates.known(paas.config)}


def test_a_state_directory_that_was_copied_serves_with_the_same_root(tmp_path: Path, app: App) -> None:
    with routing(tmp_path / "home", https_port=free_port()) as paas:
        trusted = certificates.root(paas.config)
    shutil.copytree(tmp_path / "home" / "tls", tmp_path / "copy" / "tls")

    with routing(tmp_path / "copy", https_port=free_port()) as copy:
        copy.router.point("demo.localhost", [app.address])

        assert certificates.root(copy.config) == trusted
        assert get(copy, "demo.localhost") == b"1"
