"""The order of deploys: one at a time per app, in the order of pushes; a bounded number at once on the machine.

A Build row is the ticket, its number the place in the queue. The process that runs a build holds a file lock named
after it for as long as it lives, so a build whose process was killed is known without a heartbeat.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from gitpaas import events, linux, locks, logs, releases
from gitpaas.errors import CommandFailed, Conflict, Superseded
from gitpaas.git import repository
from gitpaas.git.repository import Move
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.releases import retention, unfinished
from gitpaas.store import App, Build, Release
from gitpaas.values import Actor

_POLL = 0.1  # seconds
_LEARNT = (Build.builder, Build.label, Build.details, Build.inputs)  # about the tree, on the way
_KILLED = "The process that ran this build was killed."


@contextmanager
def ticket(
    platform: Platform,
    app: App,
    commit: str,
    moves: Sequence[Move],
    actor: Actor,
    *,
    previous: str | None = None,
    restores: int | None = None,
) -> Iterator[Build]:
    """A place in the app's queue, kept for the body. `moves[0]` is the deploy branch's, if it has not moved already.

    `previous`: what the branch was at, `commit` itself when that is built again; else it is `moves[0].old`.
    `restores`: the number of the release that is brought back."""
    path = platform.config.repository(app.name)
    with ExitStack() as stack:
        # Row and lock appear together for whoever looks: a row without its lock means a killed process.
        with locks.held(platform.config.tickets_lock):
            build = Build.create(
                app=app,
                commit=commit,
                subject=repository.commit(path, commit).subject,
                ref=moves[0].ref if moves else "",
                previous=previous or (moves[0].old if moves else commit),
                moves=json.dumps([[move.ref, move.old, move.new] for move in moves]),
                restores=restores,
                by=actor.name,
                key=actor.key,
                address=actor.address,
            )
            lock = platform.config.build_lock(build.id)
            stack.enter_context(locks.held(lock))
            if own := linux.processes.find(os.getpid()):
                lock.write_text(f"{own.pid} {own.started}\n")
            locks.sweep(lock.parent)
        retention.forget_builds(platform, app)
        repository.hold(path, build.id, commit)
        yield build


@contextmanager
def turn(platform: Platform, build: Build, out: Output) -> Iterator[App]:
    """Wait for this build's turn and for a free place on the machine. Superseded when a newer push takes its place.

    Yields the app as those before have left it."""
    _wait_in_line(platform, build, out)
    with _place_on_machine(platform, build, out):
        bury_dead(platform, build.app)
        yield App.get_by_id(build.app_id)


def is_alive(platform: Platform, build: Build) -> bool:
    """Whether the process of an unfinished build still lives."""
    with locks.held(platform.config.tickets_lock):
        return locks.is_held(platform.config.build_lock(build.id))


def cancel(platform: Platform, build: Build, by: str) -> bool:
    """Tell the process of a build to take back what it has begun, and to end. False when it has none to be told."""
    lock = platform.config.build_lock(build.id)
    if not is_alive(platform, build):
        return False
    try:
        pid, started = lock.read_text().split()[:2]
    except (OSError, ValueError):  # it has ended, or cannot be known by its pid on this system
        return False
    lock.write_text(f"{pid} {started}\n{by}\n")
    linux.processes.send(linux.Process(int(pid), int(started)), signal.SIGTERM)
    return True


def cancelled_by(platform: Platform, build: Build) -> str | None:
    """Who has told this build to end, or None."""
    try:
        lines = platform.config.build_lock(build.id).read_text().splitlines()
    except OSError:
        return None
    return lines[1] if len(lines) > 1 else None


def bury_dead(platform: Platform, app: App) -> None:
    """Close the builds whose process was killed: as live when their release is, else as failed."""
    for build in unfinished(app):
        # Asked once more after it was seen dead: it may have ended of itself since the rows were read.
        if is_alive(platform, build) or Build.get_by_id(build.id).finished_at is not None:
            continue
        linux.end_build(platform.config.slug(app.name, build.id))  # its steps may still write there
        release = releases.made_by(build)
        if release and (has_scripts := bool(releases.artifact(release).scripts)):
            note(build, f"{_KILLED} Its postdeploy may not have run.")
        close(platform, build, "failed", _KILLED)
        out = Output(logs.BuildLog(platform.config.build_log(app.name, build.id)))
        if build.status == "failed":
            out.warn(_KILLED)
        elif release and has_scripts:
            out.warn(f"{_KILLED} v{release.number} is live, but its postdeploy may not have run.")
        retention.prune(platform, app)


def close(platform: Platform, build: Build, status: str, error: str) -> None:
    """End a build that did not come to its end. What went live is live, whatever happened afterwards."""
    if release := releases.made_by(build):
        publish(platform, build, release)
    else:
        Release.update(status="failed").where(Release.build == build, Release.status == "pending").execute()
        finish(platform, build, status, error)


def finish(platform: Platform, build: Build, status: str, error: str = "") -> None:
    """The build's last word."""
    path = platform.config.repository(build.app.name)
    if path.exists():
        # Before the row: whoever is killed between the two leaves an unfinished build, and that is looked after.
        with suppress(CommandFailed):  # no room on the disk; the word is more important
            repository.let_go(path, build.id)
    with platform.store.transaction():
        is_news = Build.select().where(Build.id == build.id, Build.finished_at.is_null()).exists()
        build.status, build.error, build.finished_at = status, error, time.time()
        build.save(only=[Build.status, Build.error, Build.finished_at, Build.release, *_LEARNT])
        if is_news:
            _keep_as_event(build)


def note(build: Build, trouble: str) -> None:
    """Keep what goes wrong with a build though its release is live: its event, which says failed then, and builds:info
    tell of it."""
    if trouble and trouble not in build.error:
        build.error = f"{build.error}; {trouble}" if build.error else f"Live, but: {trouble}"
        build.save(only=[Build.error])


def advance(build: Build, status: str) -> None:
    """The next step of a build that has its turn."""
    build.status, build.started_at = status, build.started_at or time.time()
    build.save(only=[Build.status, Build.started_at, *_LEARNT])


def publish(platform: Platform, build: Build, release: Release) -> None:
    """The release is live: move its refs and close the build. Safe to run twice: reconcile does it for a killed deploy.

    A branch that somebody else moved in the meantime (with stock git, in the bare repository) stays theirs."""
    path = platform.config.repository(build.app.name)
    due = [move for move in moves_of(build) if repository.read_ref(path, move.ref) != move.new]
    zero = "0" * len(build.commit)
    moves = [replace(m, old=repository.read_ref(path, m.ref) or zero) if m.ref == build.ref else m for m in due]
    try:
        check_base(platform, build)
        repository.move(path, moves)
    except Conflict as error:
        note(build, f"its refs did not move: {error.message}")
    build.release = release.number
    finish(platform, build, "live", build.error)


def moves_of(build: Build) -> list[Move]:
    return [Move(*move) for move in json.loads(build.moves)]


def check_base(platform: Platform, build: Build) -> None:
    """Conflict ("fetch first") when the branch has moved to something this commit does not contain."""
    if not build.ref:
        return
    path = platform.config.repository(build.app.name)
    current = repository.read_ref(path, build.ref)
    if current in (None, build.commit) or current == build.previous:
        return
    if not repository.is_ancestor(path, current, build.commit):
        branch = build.ref.removeprefix("refs/heads/")
        raise Conflict(
            f"{branch} has moved to {current[:7]} since you pushed, and your commit does not contain that.",
            "Fetch, merge (or push --force again) and push.",
        )


def _keep_as_event(build: Build) -> None:
    """Here, since whoever is killed in a deploy cannot tell: its build is finished by another."""
    outcome = f"v{build.release}" if build.status == "live" else build.status
    text = f"{build.commit[:7]} {outcome}" + (f": {build.error}" if build.error else "")
    actor = Actor(build.by, "deploy", build.key, build.address)
    result = "ok" if build.status == "live" and not build.error else "failed"
    events.record("deploy", text, app=build.app.name, actor=actor, result=result)


def _wait_in_line(platform: Platform, build: Build, out: Output) -> None:
    waited = False
    while ahead := [other for other in unfinished(build.app) if other.id < build.id and is_alive(platform, other)]:
        if not waited:
            out.step(f"Waiting for build {ahead[-1].id} of {build.app.name} ({ahead[-1].commit[:7]} by {ahead[-1].by})")
        waited = True
        _give_way(platform, build)
        time.sleep(_POLL)
    if waited:
        _give_way(platform, build)


def _give_way(platform: Platform, build: Build) -> None:
    """A newer push that contains this commit, or that the same person made, makes this build superfluous."""
    path = platform.config.repository(build.app.name)
    for other in unfinished(build.app):
        if other.id <= build.id or (other.ref, other.restores) != (build.ref, build.restores):
            continue
        if not is_alive(platform, other):
            continue
        if other.by == build.by or _contains(path, other.commit, build.commit):
            raise Superseded(f"Superseded by build {other.id} ({other.commit[:7]} by {other.by}).", step="queue")


@lru_cache(maxsize=1000)  # asked several times a second, by each that waits
def _contains(path: Path, commit: str, older: str) -> bool:
    return repository.is_ancestor(path, older, commit)


@contextmanager
def _place_on_machine(platform: Platform, build: Build, out: Output) -> Iterator[None]:
    told = False
    while True:
        numbers = range(max(1, platform.config.max_builds)) if _is_next(platform, build) else ()
        for number in numbers:
            with locks.held(platform.config.locks / "places" / str(number), wait=False) as mine:
                if mine:
                    yield
                    return
        if not told:
            out.step(f"Waiting for a free place: {platform.config.max_builds} builds run on this machine")
        told = True
        _give_way(platform, build)
        time.sleep(_POLL)


def _is_next(platform: Platform, build: Build) -> bool:
    """Whether no older build, first in its own app's line, waits for a place too."""
    older = Build.select().where(Build.finished_at.is_null(), Build.id < build.id).order_by(Build.id)
    first = {other.app_id: other for other in reversed(list(older))}
    return not any(other.status == "queued" and is_alive(platform, other) for other in first.values())
