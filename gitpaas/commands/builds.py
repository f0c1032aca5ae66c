"""builds: every push and rebuild, how it ended, and its whole log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from gitpaas.commands.base import app_argument, command, format_option
from gitpaas.commands.call import Call
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.errors import NotFound, UsageError
from gitpaas.logs.build_log import follow_build, read_build
from gitpaas.output import seconds
from gitpaas.store import App, Build


@command("builds", role="read")
@app_argument
@click.option(
    "-n", "--limit", metavar="COUNT", type=click.IntRange(1), default=20, help="How many, newest first; 20 unless told."
)
@format_option
def listing(call: Call, app: str, limit: int, style: str) -> None:
    """List the builds, newest first: commit, how it ended, how long it took."""
    found = call.app(app)
    builds = list(Build.select().where(Build.app == found).order_by(Build.id.desc()).limit(limit))
    if style == "json":
        call.say_json([_describe(build) for build in builds])
    elif not builds:
        call.say(f"{app} has no builds yet. Push to it: git push paas:{app} main")
    else:
        columns = (
            Column("BUILD"), Column("STATE"), Column("RELEASE"), Column("COMMIT"),
            Column("SUBJECT", text=True), Column("BY", text=True), Column("WHEN"), Column("TOOK"),
        )  # fmt: skip
        call.say(render(columns, [_row(build) for build in builds], call.console.width))


@command("builds:output", role="read")
@app_argument
@click.argument("build", metavar="BUILD", required=False)
@click.option("-t", "--tail", is_flag=True, help="Follow it until the build has ended; exit 1 when it failed.")
@format_option
def output(call: Call, app: str, build: str | None, tail: bool, style: str) -> int:
    """Print the whole log of a build, or of the latest one."""
    found = _find(call, call.app(app), build)
    path = call.config.build_log(found.app.name, found.id)
    if tail:
        if style == "json":
            raise UsageError("--format json prints a build that has ended; it cannot follow one.")
        return follow(call, found)
    text = read_build(path).decode("utf-8", "replace")
    call.say_json(_describe(found) | {"output": text}) if style == "json" else call.console.out(text)
    return 0


def follow(call: Call, build: Build) -> int:
    """Show a build live until it has ended or the reader has left; 1 when it failed."""
    path = call.config.build_log(build.app.name, build.id)
    for data in follow_build(path, _ended(call, build), call.console.gone):
        call.console.out(data.decode("utf-8", "replace"))
    return 1 if Build.get_by_id(build.id).status in ("failed", "superseded") else 0


def _ended(call: Call, build: Build) -> Callable[[], bool]:
    from gitpaas import queue

    def ended() -> bool:
        fresh = Build.get_or_none(Build.id == build.id)
        return fresh is None or fresh.finished_at is not None or not queue.is_alive(call.platform, fresh)

    return ended


def _find(call: Call, app: App, number: str | None) -> Build:
    query = Build.select().where(Build.app == app)
    if number is not None:
        if not number.isascii() or not number.isdigit() or len(number) > 15:
            raise UsageError(
                f"{number[:80]!r} is not a build.", f"Name one by its number: {call.program} builds {app.name}"
            )
        query = query.where(Build.id == int(number))
    build: Build | None = query.order_by(Build.id.desc()).first()
    if build is None:
        what = "no builds yet" if number is None else f"no build {number}"
        raise NotFound(f"{app.name} has {what}.", f"List them: {call.program} builds {app.name}")
    return build


def _took(build: Build) -> str:
    if not build.started_at or not build.finished_at:
        return "-"
    return seconds(build.finished_at - build.started_at)


def _row(build: Build) -> list[str]:
    release = f"v{build.release}" if build.release else "-"
    return [
        str(build.id),
        "deployed" if build.status == "live" else build.status,  # many once were; `releases` tells which one is
        release,
        build.commit[:7],
        build.subject,
        build.by,
        ago(build.created_at),
        _took(build),
    ]


def _describe(build: Build) -> dict[str, Any]:
    return {
        "build": build.id,
        "state": build.status,
        "error": build.error or None,
        "release": build.release,
        "commit": build.commit,
        "subject": build.subject,
        "ref": build.ref,
        "label": build.label or None,
        "by": build.by,
        "key": build.key,
        "created_at": iso(build.created_at),
        "started_at": iso(build.started_at),
        "finished_at": iso(build.finished_at),
    }


COMMANDS = (listing, output)
