"""certificates: how each host stands, out of what Caddy has left on the disk."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pairs
import pytest
from callers import Caller, quiet_platform

from gitpaas.config import Config
from gitpaas.router import certificates

DIRECTORY = "acme.example.com-v2-directory"
DAY = 86400.0


@pytest.fixture
def secured(config: Config) -> Iterator[Caller]:
    """The operator of a server with HTTPS and a public base domain; apps `shop` and `blog`."""
    chosen = {"https_port": 443, "base_domain": "apps.example.com"}
    platform = quiet_platform(
        replace(config, **chosen, acme_directory="https://acme.example.com/v2/directory")  # type: ignore[arg-type]
    )
    operator = Caller(platform)
    for app in ("shop", "blog"):
        operator("apps:create", app)
    operator("domains:add", "shop", "shop.test", "*.example.org")
    yield operator
    platform.store.close()


def store(caller: Caller, whose: str, host: str, days: float) -> Path:
    path = caller.platform.config.tls / "certificates" / whose / host / f"{host}.crt"
    pairs.write(path, path.with_suffix(".key"), host, ends_in=days * DAY, issuer="A CA")
    return path


def fail(caller: Caller, host: str, error: str, when: float | None = None) -> None:
    entry = {"level": "error", "ts": when or time.time(), "logger": "tls.obtain", "identifier": host, "error": error}
    log = caller.platform.config.certificates_log
    with log.open("a") as file:
        for line in (entry, {"level": "error", "ts": entry["ts"], "msg": "will retry", "error": error}):
            file.write(json.dumps(line) + "\n")


def test_what_a_ca_has_heard_from_a_stranger_moves_nobodys_cursor(secured: Caller) -> None:
    fail(secured, "shop.apps.example.com", "Invalid response: \x1b[2J\x9b\nno certificate for blog: forged")

    told = secured("certificates", "shop").out

    assert "Invalid response:  [2J  no certificate for blog: forged\n" in told
    assert not {"\x1b", "\x9b"} & set(told)


def test_each_host_is_there_once_and_a_wildcard_is_none(secured: Caller) -> None:
    store(secured, "local", "shop.test", 0.4)
    store(secured, DIRECTORY, "shop.apps.example.com", 60)

    shown = secured("certificates").out.splitlines()

    assert [line.split()[:3] for line in shown] == [
        ["APP", "HOST", "STATE"],
        ["blog", "blog.apps.example.com", "none"],
        ["shop", "shop.apps.example.com", "valid"],
        ["shop", "shop.test", "valid"],
        ["none:", "it", "comes"],
    ]
    assert shown[2].endswith("A CA")
    assert shown[3].endswith("this server")
    assert [one["host"] for one in secured("certificates", "blog", "--json").json] == ["blog.apps.example.com"]


def test_json_says_all_of_it(secured: Caller) -> None:
    store(secured, DIRECTORY, "shop.apps.example.com", -1)
    fail(secured, "blog.apps.example.com", "HTTP 400 - no DNS record")

    found = {one["host"]: one for one in secured("certificates", "--format", "json").json}

    assert set(found["shop.test"]) == {
        "app", "host", "state", "issuer", "valid_from", "valid_until", "error", "failed_at"
    }  # fmt: skip
    assert found["shop.test"]["state"] == "none"
    assert found["shop.apps.example.com"]["state"] == "expired"
    assert found["shop.apps.example.com"]["valid_until"].endswith("Z")
    blog = found["blog.apps.example.com"]
    assert (blog["state"], blog["error"]) == ("failed", "HTTP 400 - no DNS record")


def test_a_failure_is_told_until_a_certificate_comes(secured: Caller) -> None:
    fail(secured, "shop.apps.example.com", "an older one", time.time() - 90)
    fail(secured, "shop.apps.example.com", "connection refused", time.time() - 60)
    assert " !     shop.apps.example.com, 1m ago: connection refused" in secured("certificates").out

    path = store(secured, DIRECTORY, "shop.apps.example.com", 60)
    assert "refused" not in secured("certificates").out

    os.utime(path, (1, 1))  # renewal failed since
    shown = secured("certificates").out
    assert "valid" in shown
    assert "connection refused" in shown


def test_a_ca_out_of_reach_is_told_without_the_steps_on_the_way_there(secured: Caller) -> None:
    reached = 'Get "https://ca.example/directory": dial tcp: lookup ca.example: no such host'
    way = "registering account [mailto:me@example.com] with server: provisioning client: performing request: "
    fail(secured, "shop.apps.example.com", way + reached)

    assert secured("certificates").out.endswith(f": {reached}\n")


def test_one_of_another_ca_of_before_does_not_count(secured: Caller) -> None:
    store(secured, "old.example.com-directory", "shop.apps.example.com", 60)

    assert {one["state"] for one in secured("certificates", "--json").json} == {"none"}


def test_who_may_see_one_app_sees_its_hosts_alone(secured: Caller) -> None:
    reader = secured.over_ssh(None, shop="read")

    assert {one["app"] for one in reader("certificates", "--json").json} == {"shop"}
    assert reader("certificates", "blog").code == 3


def test_a_file_that_is_just_being_written_is_none_yet(secured: Caller) -> None:
    store(secured, DIRECTORY, "shop.apps.example.com", 60).write_text("-----BEGIN CERT")
    secured.platform.config.certificates_log.write_text('half a line"}\n[]\n{"identifier": "x"}\n')

    assert secured("certificates", "shop").code == 0


def test_without_https_it_says_how_to_have_it(operator: Caller) -> None:
    operator("apps:create", "shop")

    assert operator("certificates").out == "HTTPS is off. On: https_port in gitpaas.toml, then gitpaas restart\n"
    assert operator("certificates", "--json").json == []


def test_the_root_is_printed_as_it_is(secured: Caller) -> None:
    missing = secured("certificates:root")
    assert missing.code == 1
    assert "no root certificate of its own yet" in missing.err

    path = secured.platform.config.tls / "pki" / "authorities" / "local" / "root.crt"
    path.parent.mkdir(parents=True)
    path.write_text("PEM\n")
    assert secured("certificates:root").out == "PEM\n"
    assert secured.over_ssh(None)("certificates:root", "--json").json == {"root": "PEM\n"}


def test_the_servers_log_tells_each_failure_once(secured: Caller, caplog: pytest.LogCaptureFixture) -> None:
    config = secured.platform.config
    fail(secured, "a.example.com", "before the server began")
    watch = certificates.FailureWatch(config)
    watch.run_once()
    assert caplog.messages == []

    fail(secured, "a.example.com", "first")
    watch.run_once()
    watch.run_once()
    with config.certificates_log.open("a") as file:
        file.write('{"identifier": "b.example.com", "ts": 1, ')
    watch.run_once()
    with config.certificates_log.open("a") as file:
        file.write('"error": "second"}\n')
    watch.run_once()
    config.certificates_log.rename(config.caddy / "certificates-rolled.log")
    watch.run_once()
    fail(secured, "c.example.com", "third")
    watch.run_once()

    assert caplog.messages == [
        "no certificate for a.example.com: first",
        "no certificate for b.example.com: second",
        "no certificate for c.example.com: third",
    ]
