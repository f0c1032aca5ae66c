"""The one reader of settings: gitpaas.toml in the state directory, each key also a GITPAAS_ variable.

Nothing else reads the environment. Every setting is a field of Config with its sentence of documentation;
README's table is compared with these by a test.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, NamedTuple

from gitpaas.config import hosts, kinds
from gitpaas.config.state import StateDirectory
from gitpaas.errors import BadConfig, nearest


class Setting(NamedTuple):
    name: str
    variable: str
    default: str
    doc: str


def _doc(default: Any, doc: str, **kind: Callable[[str], Any]) -> Any:
    return field(default=default, metadata={"doc": doc, **kind})


# What a build behind a proxy or a company's own certificate authority needs, and nothing that is a secret of ours.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "UV_SYSTEM_CERTS")  # paths of this machine
_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")  # Debian's, Alpine's and Arch's


@dataclass(frozen=True)
class Config(StateDirectory):
    """All settings, checked."""

    bind: str = _doc("127.0.0.1", "Address that SSH and HTTP listen on.")
    ssh_port: int = _doc(2222, "Port of the SSH server.")
    http_port: int = _doc(8080, "Port of the router.")
    https_port: int = _doc(0, "Port of the router for HTTPS, for example 8443 or 443; 0 is without.", parse=kinds.port)
    https_redirect: bool = _doc(
        "true", "Whether plain HTTP is sent on to HTTPS, where there is that.", parse=kinds.truth
    )
    acme_directory: str = _doc(
        "https://acme-v02.api.letsencrypt.org/directory",
        "Whom to ask for the certificates of public names: the URL of an ACME directory.",
        parse=kinds.secure_url,
    )
    acme_email: str = _doc("", "Whom that CA tells of trouble; it may be nobody.", parse=kinds.email)
    acme_root: str = _doc(
        "", "A file with the root certificate of a CA of your own, to trust it.", parse=kinds.certificate
    )
    trusted_proxies: tuple[str, ...] = _doc(
        "",
        "Proxies in front, such as 192.0.2.7 or 10.0.0.0/8: apps get what their X-Forwarded headers say.",
        parse=kinds.networks,
    )
    base_domain: str = _doc("localhost", "Apps answer at `<app>.<base_domain>`.", parse=kinds.domain)
    runtime: str = _doc(
        "auto",
        "What runs the apps: `host` (plain processes), `docker`, or `auto` (docker where it can, decided at init).",
        parse=kinds.runtime,
    )
    max_builds: int = _doc(2, "Builds at the same time on this machine.")
    build_timeout: int = _doc(900, "Seconds a build may take.")
    release_timeout: int = _doc(600, "Seconds the release phase may take, and each script of `app.json`.")
    start_timeout: int = _doc(60, "Seconds until a new instance must answer.")
    drain_timeout: int = _doc(30, "Seconds that requests and streams still open on an old instance get.")
    stop_grace: int = _doc(10, "Seconds between SIGTERM and SIGKILL.")
    max_surge: str = _doc(
        "100%", "Instances more than wanted while a release is rolled out: a number or a percentage.", parse=kinds.surge
    )
    keep_releases: int = _doc(5, "Builds of each app that are kept for rollback, however many releases they have made.")
    instance_memory: int = _doc("512m", "Memory of one instance.", parse=kinds.size)
    instance_processes: int = _doc(256, "Processes and threads of one instance.")
    instance_files: int = _doc(8192, "Open files of one process of an instance.")
    instance_cpus: float | None = _doc(
        "", "CPUs one instance may use, such as 0.5; unlimited when empty.", parse=kinds.cpus
    )
    build_memory: int = _doc("2g", "Memory of one build.", parse=kinds.size)
    build_cpus: float | None = _doc(
        "", "CPUs that BuildKit may use for all builds together; unlimited when empty.", parse=kinds.cpus
    )
    build_cache: int = _doc("10g", "Disk that BuildKit's cache may take.", parse=kinds.size)
    min_free_disk: int = _doc("1g", "Free disk without which no build starts.", parse=kinds.size)
    docker_host: str = _doc("unix:///var/run/docker.sock", "Where Docker Engine answers.")
    app_networks: IPv4Network = _doc(
        "10.213.0.0/16", "Addresses that the apps' networks are cut from, 62 for each app.", parse=kinds.network
    )
    registry_mirrors: Mapping[str, str] = _doc(
        "", "Mirrors to pull from, such as docker.io=mirror.example.com.", parse=kinds.mirrors
    )
    insecure_registries: tuple[str, ...] = _doc("", "Registries that speak plain HTTP, HOST:PORT.", parse=kinds.names)
    image_registry: str = _doc(
        "", "A registry (HOST:PORT) through which images go to Docker Engine; else as an archive."
    )
    tools: str = _doc("", "A directory with railpack, buildkitd, buildctl and mise of your own.")
    app_ports: tuple[int, int] = _doc("20000-29999", "Ports that instances are given.", parse=kinds.ports)
    app_uid_base: int = _doc(50000, "App n runs as user id base + n when the server is root.")
    build_env: tuple[str, ...] = _doc(
        "", "More variables of the server that builds may see, by name.", parse=kinds.names
    )
    create_on_push: bool = _doc("true", "Whether the first push of a new name makes the app.", parse=kinds.truth)
    max_push_size: int = _doc("2g", "Largest pack that a push may send.", parse=kinds.size)
    login_grace: int = _doc(20, "Seconds until a connection must have logged in.")
    max_logins: int = _doc(64, "Connections that may be waiting to log in; the oldest gives way.")
    log_size: int = _doc("32m", "Output kept of each app.", parse=kinds.size)
    keep_events: int = _doc(90, "Days that events are kept.")
    log_level: str = _doc("info", "What the server's own log tells: debug, info, warning or error.")
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, metadata={"hidden": True})

    def surge(self, wanted: int) -> int:
        """How many instances more than `wanted` may run during a roll-out: at least one."""
        number = int(self.max_surge.rstrip("%"))
        return max(1, -(-wanted * number // 100) if self.max_surge.endswith("%") else number)

    def host(self, app: str) -> str:
        return f"{app}.{self.base_domain}"

    def url(self, app: str) -> str:
        return self.url_of(self.host(app))

    def url_of(self, host: str) -> str:
        if self.has_https(host):
            return f"https://{host}{self.https_suffix}"
        return f"http://{host}" + ("" if self.http_port == 80 else f":{self.http_port}")

    def has_https(self, host: str) -> bool:
        """Whether it has a certificate, or gets one. A public CA certifies a wildcard in other ways only."""
        if not self.https_port or hosts.is_too_deep(host):
            return False
        return hosts.is_local(host) or not host.startswith("*.")

    def router_ports(self) -> list[tuple[int, str]]:
        """Where the router listens, and the variable that says so."""
        return [
            (self.http_port, "GITPAAS_HTTP_PORT"),
            *([(self.https_port, "GITPAAS_HTTPS_PORT")] if self.https_port else []),
        ]

    @property
    def https_suffix(self) -> str:
        """What follows the host in its URLs."""
        return "" if self.https_port == 443 else f":{self.https_port}"

    def build_environment(self) -> dict[str, str]:
        """The server's own variables that builds may see: proxies, certificates, and those the operator names."""
        names = (*PROXIES, *CERTIFICATES, *self.build_env)
        passed = {name: self.environ[name] for name in names if name in self.environ}
        # uv has certificate authorities of its own; those that this machine trusts too are in the system's.
        return {"UV_SYSTEM_CERTS": "true", **passed} if _SYSTEM_CERTIFICATES.exists() else passed


def shipped(name: str) -> Path:
    """A file that ships beside the package (`Caddyfile`, `hooks/post-receive`), in a checkout or an installed wheel."""
    checkout = Path(__file__).parents[2] / name
    packaged = Path(__file__).parents[1] / "data" / Path(name).name
    return packaged if packaged.exists() else checkout


def git_environment() -> dict[str, str]:
    """What git children of ours see: the PATH, and nothing of anybody's own git settings."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def terminal_kind() -> str:
    """What the terminal of this process is, if there is one: TERM."""
    return os.environ.get("TERM", "dumb")


def settings() -> list[Setting]:
    """Every setting with its variable, default and documentation, in the order of README's table."""
    home = Setting(
        "", "GITPAAS_HOME", "~/.gitpaas", "The state directory; only a variable, since gitpaas.toml is in it."
    )
    return [home] + [
        Setting(f.name, f"GITPAAS_{f.name.upper()}", str(f.default), f.metadata["doc"])
        for f in fields(Config)
        if "doc" in f.metadata
    ]


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read settings: variable, else gitpaas.toml, else default. BadConfig names the one that is off."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("GITPAAS_HOME") or "~/.gitpaas").expanduser().absolute()
    chosen: dict[str, tuple[str, str]] = {}
    for name, value in _read_file(home / "gitpaas.toml").items():
        chosen[name] = (_text(value), f"{name} in {home / 'gitpaas.toml'}")
    known = {f.name: f for f in fields(Config) if "doc" in f.metadata}
    if unknown := sorted(chosen.keys() - known.keys()):
        hint = nearest(unknown[0], known, f"There are: {', '.join(known)}.")
        raise BadConfig(f"{home / 'gitpaas.toml'} has an unknown setting: {', '.join(unknown)}", hint)
    for name in known:
        if (variable := f"GITPAAS_{name.upper()}") in environ:
            chosen[name] = (environ[variable], variable)
    values = {
        name: _parse(f, *chosen.get(name, (str(f.default), f"the default of {name}"))) for name, f in known.items()
    }
    config = Config(home=home, environ=dict(environ), **values)
    _require_ports_apart(config)
    return config


def _require_ports_apart(config: Config) -> None:
    for name in ("http_port", "ssh_port"):
        if config.https_port and config.https_port == getattr(config, name):
            raise BadConfig(
                f"https_port and {name} are both {config.https_port}", "Choose another one, for example 8443 or 443."
            )


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(
            f"{path} cannot be read: {error}", "Mend it, or move it away: then the defaults hold."
        ) from error


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _parse(f: Any, text: str, origin: str) -> Any:
    parse = f.metadata.get("parse") or (kinds.count if f.type == "int" else str)
    try:
        return parse(text)
    except ValueError as error:
        raise BadConfig(f"{origin}: {error}") from error
