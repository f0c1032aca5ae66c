"""certificates: with which each host answers over HTTPS, and which it did not get."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitpaas.apps import domains
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option, optional_app_argument
from gitpaas.commands.table import Column, age, ago, iso, render

if TYPE_CHECKING:
    from gitpaas.router.certificates import Standing

_OFF = "HTTPS is off. On: https_port in gitpaas.toml, then gitpaas restart"


@command("certificates", role="read", scope="seen")
@optional_app_argument
@format_option
def listing(call: Call, app: str | None, style: str) -> None:
    """List the certificate of each host, of all apps that you may see or one: issuer, end, and why there is none."""
    from gitpaas.router import certificates

    added = domains.by_app()
    hosts = {one.name: domains.single_hosts(call.config, one, added.get(one.id, ())) for one in call.apps(app)}
    owner = {host: name for name, own in hosts.items() for host in own}
    found = certificates.standings(call.config, list(owner)) if call.config.https_port else []
    if style == "json":
        return call.say_json([_describe(one, owner[one.host]) for one in found])
    if not call.config.https_port:
        return call.say(_OFF)
    columns = (Column("APP"), Column("HOST"), Column("STATE"), Column("ENDS"), Column("ISSUER", text=True))
    call.say(render(columns, [_row(one, owner[one.host]) for one in found], call.console.width))
    if any(_state(one) == "none" for one in found):
        call.say("none: it comes with the first request for the host.")
    for one in found:
        if one.failure:
            call.say(f" !     {one.host}, {ago(one.failure.time)}: {one.failure.error}")
    return None


@command("certificates:root", role="read", scope="seen")
@format_option
def root(call: Call, style: str) -> None:
    """Print the root certificate of this server's own CA, for clients to trust. It signs for localhost and its like."""
    from gitpaas.router import certificates

    pem = certificates.root(call.config)
    call.say_json({"root": pem}) if style == "json" else call.console.out(pem)


def _state(one: Standing) -> str:
    if one.certificate is None:
        return "failed" if one.failure else "none"
    return "valid" if one.certificate.ends > time.time() else "expired"


def _row(one: Standing, app: str) -> list[str]:
    if one.certificate is None:
        return [app, one.host, _state(one), "-", "-"]
    left = one.certificate.ends - time.time()
    ends = f"in {age(left)}" if left > 0 else ago(one.certificate.ends)
    return [app, one.host, _state(one), ends, one.certificate.issuer]


def _describe(one: Standing, app: str) -> dict[str, object]:
    certificate, failure = one.certificate, one.failure
    return {
        "app": app,
        "host": one.host,
        "state": _state(one),
        "issuer": certificate.issuer if certificate else None,
        "valid_from": iso(certificate.begins) if certificate else None,
        "valid_until": iso(certificate.ends) if certificate else None,
        "error": failure.error if failure else None,
        "failed_at": iso(failure.time) if failure else None,
    }


COMMANDS = (listing, root)
