"""releases and rollback."""

from __future__ import annotations

import click

from gitpaas.commands import release_info
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option, limit_option, release_number
from gitpaas.commands.table import Column, ago, render
from gitpaas.errors import NotKept
from gitpaas.logs.build_log import read_build
from gitpaas.output import seconds
from gitpaas.store import App, Release

_release_argument = click.argument("release", metavar="RELEASE", required=False)


@command("releases", role="read")
@app_argument
@limit_option
@format_option
def listing(call: Call, app: str, limit: int, style: str) -> None:
    """List the releases, newest first: what each was, of which commit, by whom, when, and how long it took."""
    found = call.app(app)
    query = Release.select().where(Release.app == found).order_by(Release.number.desc()).limit(limit)
    releases = list(query)
    if style == "json":
        call.say_json([release_info.describe(found, release) for release in releases])
    elif not releases:
        call.say(f"{app} has no release yet. Push to it: git push paas:{app} main")
    else:
        columns = (
            Column("RELEASE"), Column("STATE"), Column("WHAT", text=True), Column("SUBJECT", text=True),
            Column("BY", text=True), Column("WHEN"), Column("TOOK"),
        )  # fmt: skip
        call.say(render(columns, [_row(found, release) for release in releases], call.console.width))


@command("releases:info", role="read")
@app_argument
@_release_argument
@format_option
def info(call: Call, app: str, release: str | None, style: str) -> None:
    """Show one release, or the live one, and what it changed: commit, config vars by name, processes, formation."""
    found = call.app(app)
    chosen = _find(found, release)
    if style == "json":
        return call.say_json(release_info.describe_all(call.platform, found, chosen))
    for label, text in release_info.lines(call.platform, found, chosen):
        call.say(f"{label:<12}{text}")
    return None


@command("releases:output", role="read")
@app_argument
@_release_argument
@format_option
def output(call: Call, app: str, release: str | None, style: str) -> None:
    """Print what the commands of a release said, or of the latest: release phase, predeploy, postdeploy."""
    found = call.app(app)
    chosen = _find(found, release, latest=True)
    text = read_build(call.config.release_log(found.name, chosen.id)).decode("utf-8", "replace")
    if style == "json":
        call.say_json(release_info.describe(found, chosen) | {"output": text})
    elif text:
        call.console.out(text)
    else:
        call.say(f"Nothing is kept of v{chosen.number}: it had no command to run, or that was long ago.")


@command("releases:pin", role="deploy", changes=True)
@app_argument
@_release_argument
def pin(call: Call, app: str, release: str | None) -> None:
    """Keep what a release runs, or the live one's, whatever comes after it: a rollback needs no build."""
    from gitpaas.releases import retention

    found = call.app(app)
    chosen = _find(found, release)
    call.note(f"v{chosen.number}")
    retention.pin(call.platform, found, chosen)
    call.say(f"{found.name} v{chosen.number} is kept until releases:unpin.")


@command("releases:unpin", role="deploy", changes=True)
@app_argument
@_release_argument
def unpin(call: Call, app: str, release: str | None) -> None:
    """Let a pinned release go when its time has come, as others do."""
    from gitpaas.releases import retention

    found = call.app(app)
    chosen = _find(found, release)
    call.note(f"v{chosen.number}")
    retention.unpin(call.platform, found, chosen)
    call.say(f"{found.name} v{chosen.number} is kept as long as any other release.")


@command("rollback", role="deploy", changes=True)
@app_argument
@_release_argument
def rollback(call: Call, app: str, release: str | None) -> int:
    """Go back to an older release (v11), or to the one before, and to its config vars: a new release that copies it.
    Without a build as long as what it runs is kept; else it is built again, and leaving does not stop that."""
    from gitpaas import deploy, receive

    found = call.app(app)
    call.note(f"to {release}" if release else "")
    try:
        made = deploy.rollback(call.platform, found, release_number(release), call.actor, call.progress())
    except NotKept as gone:
        call.note(f"to v{gone.release}, built again")
        code = receive.rebuild(call.platform, found, call.actor, call.progress(), restores=gone.release)
        return 1 if code else 0
    call.note(f"v{made.number}: {made.description}")
    call.say(f"{found.name} v{made.number} is live: {made.description}")
    return 0


def _find(app: App, text: str | None, *, latest: bool = False) -> Release:
    """The release of that name; without one the live one, or the `latest`, be it live or not."""
    from gitpaas import releases

    if (number := release_number(text)) is not None:
        return releases.find(app, number)
    newest: Release | None = Release.select().where(Release.app == app).order_by(Release.number.desc()).first()
    if newest is None:
        raise releases.none_yet(app)
    return newest if latest else releases.live(app) or newest


def _row(app: App, release: Release) -> list[str]:
    needed = release_info.took(release)
    return [
        f"v{release.number}",
        release_info.state(app, release) + (" pinned" if release.pinned else ""),
        release.description,
        release.subject,
        release.by,
        ago(release.created_at),
        "-" if needed is None else seconds(needed),
    ]


COMMANDS = (listing, info, output, pin, unpin, rollback)
