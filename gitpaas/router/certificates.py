"""The certificates that Caddy has got, as it keeps them, and those that it did not get, as it says in its log.

tls/certificates/<whose>/<host>/<host>.crt   `local` where this server's own CA signed, else made of the CA's URL
tls/pki/authorities/local/root.crt           the root of that own CA
caddy/certificates.log                       a line of JSON for each attempt that failed
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gitpaas.config import Config, hosts
from gitpaas.errors import NotFound
from gitpaas.output import plain
from gitpaas.router.caddy import CaddyRouter

if TYPE_CHECKING:
    from cryptography.x509 import Name

_log = logging.getLogger(__name__)

_TAIL = 256 * 1024  # of the log: a line is half a kilobyte
_NOWHERE = 0, 0
_OWN = "local"  # what Caddy calls a CA of its own
_CALLS = re.compile(r"^registering account \[.*?\] with server: (provisioning client: (performing request: )?)?")


@dataclass(frozen=True)
class Certificate:
    """Times are seconds since the epoch. `own`: signed by this server, not by a CA that others trust."""

    host: str
    issuer: str
    begins: float
    ends: float
    stored: float
    own: bool


@dataclass(frozen=True)
class Failure:
    """An attempt to get a certificate, or to renew one. `error`: a CA tells in it what it heard from whom it asked."""

    host: str
    time: float
    error: str


@dataclass(frozen=True)
class Standing:
    """How a host stands: its certificate, and the last attempt unless a certificate came of a later one."""

    host: str
    certificate: Certificate | None
    failure: Failure | None


def standings(config: Config, names: Sequence[str]) -> list[Standing]:
    """Of each of these hosts, in their order."""
    failed = {failure.host: failure for failure in failures(config)}
    return [_standing(config, name, failed.get(name)) for name in names]


def known(config: Config) -> list[Standing]:
    """Of all hosts that the router knows and that have, or should have, a certificate."""
    router = CaddyRouter(config.routes)
    names = {*router.routes(), *(name for name in router.aliases() if "*" not in name)}
    return [one for one in standings(config, sorted(names)) if one.certificate or one.failure]


def failures(config: Config) -> list[Failure]:
    """Oldest first, as far back as the log goes."""
    log = config.certificates_log
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            return list(_parsed(file.read()))
    except FileNotFoundError:
        return []


def root(config: Config) -> str:
    """The root certificate of this server's own CA, as PEM. NotFound as long as it has none."""
    try:
        return (config.tls / "pki" / "authorities" / _OWN / "root.crt").read_text()
    except FileNotFoundError:
        hint = "It makes one when it starts with an https_port: GITPAAS_HTTPS_PORT=8443, then gitpaas restart"
        raise NotFound("This server has no root certificate of its own yet.", hint) from None


class FailureWatch:
    """Says in the server's log what Caddy says in its own, from now on."""

    def __init__(self, config: Config) -> None:
        self._log = config.certificates_log
        self._seen = self._position()

    def run_once(self) -> None:
        now = self._position()
        if now == self._seen or now == _NOWHERE:
            return
        goes_on = now[0] == self._seen[0] and now[1] >= self._seen[1]
        begin = self._seen[1] if goes_on else 0
        with suppress(FileNotFoundError), self._log.open("rb") as file:  # it may be begun anew just now
            file.seek(begin)
            said = file.read(_TAIL)
            whole = said.rfind(b"\n") + 1
            self._seen = now[0], begin + whole
            for failure in _parsed(said[:whole]):
                _log.warning("no certificate for %s: %s", failure.host, failure.error)

    def _position(self) -> tuple[int, int]:
        """Which file it is, and how long."""
        try:
            status = self._log.stat()
        except FileNotFoundError:
            return _NOWHERE
        return status.st_ino, status.st_size


def _standing(config: Config, host: str, failure: Failure | None) -> Standing:
    certificate = _read(_path(config, host), host)
    if certificate and failure and failure.time < certificate.stored:
        failure = None
    return Standing(host, certificate, failure)


def _path(config: Config, host: str) -> Path:
    whose = _OWN if hosts.is_local(host) else _key(config.acme_directory)
    return config.tls / "certificates" / whose / host / f"{host}.crt"


def _key(directory: str) -> str:
    """What Caddy calls a CA, by the URL of its directory."""
    return re.sub(r"[/:]", "-", directory.removeprefix("https://").lower()).rstrip("-")


def _read(path: Path, host: str) -> Certificate | None:
    from cryptography import x509  # two megabytes that the idle server does without

    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        stored = path.stat().st_mtime
    except (OSError, ValueError):  # being written just now, or none
        return None
    own = path.parent.parent.name == _OWN
    return Certificate(
        host=host,
        issuer="this server" if own else _issuer(found.issuer),
        begins=found.not_valid_before_utc.timestamp(),
        ends=found.not_valid_after_utc.timestamp(),
        stored=stored,
        own=own,
    )


def _issuer(name: Name) -> str:
    """`Let's Encrypt (R11)`, or as much of that as it says."""
    from cryptography.x509 import NameOID

    organization, common = (
        next((str(part.value) for part in name.get_attributes_for_oid(oid)), "")
        for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    )
    return f"{organization} ({common})" if organization and common else organization or common or "unnamed"


def _parsed(text: bytes) -> Iterator[Failure]:
    for line in text.decode("utf-8", "replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # the end of a line that began before what was read
            continue
        if isinstance(entry, dict) and {"identifier", "error", "ts"} <= entry.keys():
            yield Failure(str(entry["identifier"]), float(entry["ts"]), plain(_CALLS.sub("", str(entry["error"]))))
