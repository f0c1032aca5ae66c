"""releases and rollback."""

from __future__ import annotations

import re
from typing import Any

import click

from gitpaas.commands.base import app_argument, command, format_option
from gitpaas.commands.call import Call
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.errors import UsageError
from gitpaas.store import App, Release


@command("releases", role="read")
@app_argument
@click.option(
    "-n", "--limit", metavar="COUNT", type=click.IntRange(1), default=20, help="How many, newest first; 20 unless told."
)
@format_option
def listing(call: Call, app: str, limit: int, style: str) -> None:
    """List the releases, newest first: what each was, by whom, and which is live."""
    found = call.app(app)
    query = Release.select().where(Release.app == found).order_by(Release.number.desc()).limit(limit)
    releases = list(query)
    if style == "json":
        call.say_json([_describe(found, release) for release in releases])
    elif not releases:
        call.say(f"{app} has no release yet. Push to it: git push paas:{app} main")
    else:
        columns = (
            Column("RELEASE"),
            Column("STATE"),
            Column("WHAT", text=True),
            Column("BY", text=True),
            Column("WHEN"),
        )
        call.say(render(columns, [_row(found, release) for release in releases], call.console.width))


@command("rollback", role="deploy", changes=True)
@app_argument
@click.argument("release", metavar="RELEASE", required=False)
def rollback(call: Call, app: str, release: str | None) -> None:
    """Go back to an older release (v11), or to the one before. A new release that copies it, without a build."""
    from gitpaas import deploy

    found = call.app(app)
    call.note(f"to {release}" if release else "")
    made = deploy.rollback(call.platform, found, _number(release), call.actor, call.progress())
    call.note(f"v{made.number}: {made.description}")
    call.say(f"{found.name} v{made.number} is live: {made.description}")


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"v?(\d{1,9})", text)
    if not match:
        raise UsageError(f"{text[:80]!r} is not a release.", "Name one as `releases` lists them: v11")
    return int(match[1])


def _state(app: App, release: Release) -> str:
    if release.number == app.release:
        return "live"
    return "old" if release.status == "live" else str(release.status)


def _row(app: App, release: Release) -> list[str]:
    return [
        f"v{release.number}",
        _state(app, release),
        release.description,
        release.by,
        ago(release.created_at),
    ]


def _describe(app: App, release: Release) -> dict[str, Any]:
    return {
        "release": release.number,
        "state": _state(app, release),
        "description": release.description,
        "commit": release.commit or None,
        "build": release.build_id,
        "by": release.by,
        "created_at": iso(release.created_at),
    }


COMMANDS = (listing, rollback)
