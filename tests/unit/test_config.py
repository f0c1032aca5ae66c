"""Settings: from a variable, else gitpaas.toml, else the default; nonsense is named."""

from __future__ import annotations

from pathlib import Path

import pairs
import pytest

from gitpaas.config import load, settings
from gitpaas.errors import BadConfig


def test_defaults(tmp_path: Path) -> None:
    config = load({"GITPAAS_HOME": str(tmp_path)})
    assert (config.bind, config.ssh_port, config.http_port, config.base_domain) == (
        "127.0.0.1",
        2222,
        8080,
        "localhost",
    )
    assert config.instance_memory == 512 * 1024**2
    assert config.url("hello") == "http://hello.localhost:8080"


def test_the_file_is_read_and_a_variable_wins_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.config._SYSTEM_CERTIFICATES", tmp_path / "none")
    (tmp_path / "gitpaas.toml").write_text('ssh_port = 2300\nhttp_port = 80\nbuild_env = ["FOO", "BAR"]\n')
    config = load({"GITPAAS_HOME": str(tmp_path), "GITPAAS_SSH_PORT": "2400", "FOO": "1", "BAR": "2", "BAZ": "3"})
    assert (config.ssh_port, config.http_port) == (2400, 80)
    assert config.build_environment() == {"FOO": "1", "BAR": "2"}
    assert config.url("hello") == "http://hello.localhost"


def test_builds_trust_whom_the_machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.config._SYSTEM_CERTIFICATES", tmp_path)
    environ = {"GITPAAS_HOME": str(tmp_path)}

    assert load(environ).build_environment() == {"UV_SYSTEM_CERTS": "true"}
    assert load(environ | {"UV_SYSTEM_CERTS": "0"}).build_environment() == {"UV_SYSTEM_CERTS": "0"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSH_PORT", "many"),
        ("INSTANCE_MEMORY", "-1m"),
        ("CREATE_ON_PUSH", "perhaps"),
        ("APP_PORTS", "30000-20000"),
        ("RUNTIME", "cloud"),
        ("BASE_DOMAIN", "../etc"),
        ("HTTPS_PORT", "-1"),
        ("HTTPS_PORT", "65536"),
        ("HTTPS_REDIRECT", "perhaps"),
        ("ACME_DIRECTORY", "http://acme.example.com/directory"),
        ("ACME_DIRECTORY", "https://acme.example.com/{env.HOME}"),
        ("ACME_DIRECTORY", ""),
        ("ACME_EMAIL", "nobody"),
        ("ACME_EMAIL", "a@b.de\nadmin off"),
        ("ACME_ROOT", "root.crt"),
        ("ACME_ROOT", "/no/such/file"),
        ("ACME_ROOT", "/tmp"),
        ("ACME_ROOT", "/etc/passwd"),
        ("TRUSTED_PROXIES", "proxy.example.com"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "private_ranges"),
    ],
)
def test_nonsense_is_refused_and_named(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(BadConfig, match=f"GITPAAS_{variable}"):
        load({"GITPAAS_HOME": str(tmp_path), f"GITPAAS_{variable}": value})


@pytest.mark.parametrize(
    ("https_port", "host", "url"),
    [
        (0, "hello.localhost", "http://hello.localhost:8080"),
        (8443, "hello.localhost", "https://hello.localhost:8443"),
        (443, "www.example.com", "https://www.example.com"),
        (443, "*.example.com", "http://*.example.com:8080"),
        (443, "*.example.test", "https://*.example.test"),
        (443, "home.arpa", "https://home.arpa"),
        (443, "a.b.c.d.e.f.home.arpa", "https://a.b.c.d.e.f.home.arpa"),
        (443, "a.b.c.d.e.f.g.home.arpa", "http://a.b.c.d.e.f.g.home.arpa:8080"),
        (443, "*.b.c.d.e.f.g.test", "http://*.b.c.d.e.f.g.test:8080"),
        (443, "a.b.c.d.e.f.g.example.com", "https://a.b.c.d.e.f.g.example.com"),
    ],
)
def test_a_url_is_where_a_host_answers_best(tmp_path: Path, https_port: int, host: str, url: str) -> None:
    config = load({"GITPAAS_HOME": str(tmp_path), "GITPAAS_HTTPS_PORT": str(https_port)})

    assert config.url_of(host) == url


def test_proxies_are_addresses_and_networks(tmp_path: Path) -> None:
    config = load({"GITPAAS_HOME": str(tmp_path), "GITPAAS_TRUSTED_PROXIES": "192.0.2.7, 10.1.2.3/8 2001:db8::/32"})

    assert config.trusted_proxies == ("192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32")


@pytest.mark.parametrize("other", ["HTTP_PORT", "SSH_PORT"])
def test_two_doors_at_one_port_are_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(BadConfig, match=f"https_port and {other.lower()} are both 443"):
        load({"GITPAAS_HOME": str(tmp_path), "GITPAAS_HTTPS_PORT": "443", f"GITPAAS_{other}": "443"})


def test_the_file_of_a_root_may_have_no_letter_that_means_something_to_caddy(tmp_path: Path) -> None:
    odd, plain = tmp_path / "{file}.crt", tmp_path / "my root.crt"
    for path in (odd, plain):
        pairs.write(path, tmp_path / "key", "ca.test")
    with pytest.raises(BadConfig, match="GITPAAS_ACME_ROOT"):
        load({"GITPAAS_HOME": str(tmp_path), "GITPAAS_ACME_ROOT": str(odd)})
    assert load({"GITPAAS_HOME": str(tmp_path), "GITPAAS_ACME_ROOT": str(plain)}).acme_root == str(plain)


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gitpaas.toml").write_text("sshport = 1\n")
    with pytest.raises(BadConfig, match="sshport") as caught:
        load({"GITPAAS_HOME": str(tmp_path)})
    assert caught.value.hint == "Did you mean ssh_port?"
    (tmp_path / "gitpaas.toml").write_text("colour = 'blue'\n")
    with pytest.raises(BadConfig, match="colour") as caught:
        load({"GITPAAS_HOME": str(tmp_path)})
    assert str(caught.value.hint).startswith("There are: bind, ssh_port, ")


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gitpaas.toml").write_text("= nonsense")
    with pytest.raises(BadConfig, match=r"gitpaas\.toml"):
        load({"GITPAAS_HOME": str(tmp_path)})


def test_every_setting_has_a_sentence() -> None:
    assert all(setting.doc.endswith(".") and setting.variable.startswith("GITPAAS_") for setting in settings())
