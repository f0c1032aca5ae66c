"""builds: every push and rebuild, how it ended, what came of it, and its whole log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click

from gitpaas.commands import options
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import app_argument, format_option, limit_option
from gitpaas.commands.table import Column, ago, iso, render
from gitpaas.errors import Conflict, NotFound, UsageError
from gitpaas.logs.build_log import follow_build, read_build
from gitpaas.output import amount, plain, seconds, signed
from gitpaas.store import App, Build
from gitpaas.values import Artifact

_PATIENCE = 30.0  # seconds that a cancelled build gets to end while somebody watches


@command("builds", role="read")
@app_argument
@limit_option
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


@command("builds:info", role="read")
@app_argument
@click.argument("build", metavar="BUILD", required=False)
@format_option
def info(call: Call, app: str, build: str | None, style: str) -> None:
    """Show one build, or the latest: how it ended, the builder, what that resolved, and what came of it."""
    from gitpaas import releases

    found = _find(call, call.app(app), build)
    release = releases.made_by(found)
    made = releases.artifact(release) if release else None
    if style == "json":
        return call.say_json(_describe(found) | {"artifact": _describe_artifact(made)})
    for label, value in _lines(found, made):
        call.say(f"{label:<12}{value}")
    return None


@command("builds:cancel", role="deploy", changes=True)
@app_argument
@click.argument("build", metavar="BUILD", required=False)
def cancel(call: Call, app: str, build: str | None) -> int:
    """End a build that waits or runs: the oldest of the app, or one by its number. What serves keeps serving."""
    from gitpaas import releases
    from gitpaas.builds import queue

    found = call.app(app)
    under_way = releases.unfinished(found)
    chosen = _find(call, found, build) if build else next(iter(under_way), None)
    if chosen is None:
        raise Conflict(f"No build of {found.name} is under way.")
    if chosen.finished_at is not None:
        raise Conflict(f"Build {chosen.id} of {found.name} has ended: {_state(chosen)}.")
    call.note(f"build {chosen.id}")
    if queue.cancel(call.platform, chosen, call.actor.name):
        _await_end(call, chosen)
    else:
        queue.bury_dead(call.platform, found)
    ended = Build.get_by_id(chosen.id)
    if ended.finished_at is None:
        call.say(f"Build {chosen.id} was told to end and takes back what it has begun.")
    elif ended.status == "live":
        call.say(f"Build {chosen.id} was live already, as v{ended.release}. To go back: {call.program} rollback {app}")
    else:
        call.say(f"Build {chosen.id} has ended: {ended.error}")
    return int(ended.status == "live")


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
    from gitpaas.builds import queue

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


def _await_end(call: Call, build: Build) -> None:
    ended, deadline = _ended(call, build), time.monotonic() + _PATIENCE
    while not ended() and not call.console.gone() and time.monotonic() < deadline:
        time.sleep(0.1)


def _took(build: Build) -> str:
    if not build.started_at or not build.finished_at:
        return "-"
    return seconds(build.finished_at - build.started_at)


def _lines(build: Build, made: Artifact | None) -> list[tuple[str, str]]:
    lines = [
        ("Build", str(build.id)),
        ("State", _state(build) + (f" as v{build.release}" if build.release else "")),
        ("Why", build.error),
        ("Commit", f"{build.commit[:12]} {build.subject}"),
        ("By", signed(build.by, build.key)),
        ("Builder", build.builder),
        ("App", build.label),
        ("Resolved", ", ".join(f"{name} {version}" for name, version in json.loads(build.details).items())),
        (made.kind.capitalize() if made else "", f"{made.reference}, {amount(made.size)}" if made else ""),
        ("Processes", ", ".join(made.processes) if made else ""),
        ("Began", ago(build.created_at)),
        ("Waited", seconds(build.started_at - build.created_at) if build.started_at else ""),
        ("Took", _took(build)),
    ]
    return [(label, plain(value)) for label, value in lines if value]


def _state(build: Build) -> str:
    return "deployed" if build.status == "live" else str(build.status)  # many once were; `releases` tells which one is


def _row(build: Build) -> list[str]:
    release = f"v{build.release}" if build.release else "-"
    return [
        str(build.id),
        _state(build),
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
        "builder": build.builder or None,
        "label": build.label or None,
        "details": json.loads(build.details),
        "by": build.by,
        "key": build.key,
        "created_at": iso(build.created_at),
        "started_at": iso(build.started_at),
        "finished_at": iso(build.finished_at),
    }


def _describe_artifact(made: Artifact | None) -> dict[str, Any] | None:
    if made is None:
        return None
    return {"kind": made.kind, "reference": made.reference, "size": made.size, "processes": dict(made.processes)}


COMMANDS = (listing, info, output, *options.COMMANDS_OF_BUILDS, cancel)
