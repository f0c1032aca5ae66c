"""What the hook does with a push: choose the ref that deploys, take a ticket or follow the build that has one,
and end with an exit status that becomes git's answer (values.RECEIVE_REASONS)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from gitpaas import apps, deploy, logs, releases
from gitpaas.builds import queue
from gitpaas.errors import (
    BadConfig,
    BuildFailed,
    CannotStart,
    CommandFailed,
    Conflict,
    GitpaasError,
    NotAllowed,
    NotFound,
    RouterFailed,
    RuntimeFailed,
    StoreFailed,
    Superseded,
    ToolFailed,
)
from gitpaas.git import hook, repository
from gitpaas.git.repository import Move
from gitpaas.instances.plan import crash_loops
from gitpaas.output import Output, Sink, signed
from gitpaas.platform import Platform
from gitpaas.store import App, Build
from gitpaas.values import Actor

PLATFORM_FAILED = 13
_OURS = (RuntimeFailed, ToolFailed, StoreFailed, RouterFailed, BadConfig, CommandFailed)  # EngineFailed is of their kin
_NOT_YOURS = "The platform failed, not your app"
_NEXT = "Push the same commit again. If that fails too, whoever runs this server asks: gitpaas doctor"
_CODES = ((Superseded, 10), (Conflict, 11), (NotAllowed, 12))
_FAILED = {"start": "Start failed: ", "release phase": "", "queue": ""}  # by step; anything else is the build's


_APP = re.compile(r"(\b[a-z]+:[a-z]+) APP\b")  # in the hints of those who do not know whose tree it is


@dataclass(frozen=True)
class Push:
    """One push as the hook sees it. `deploys`: the ref that does, where that is decided (stock git decides nothing).
    `deferred`: it has not moved; with `atomic`, no ref has.
    `restores`: it is no push, but a release of this number is to be built again and brought back."""

    app: str
    moves: tuple[Move, ...]
    actor: Actor
    deploys: str | None = None
    deferred: bool = False
    atomic: bool = False
    restores: int | None = None


def receive(platform: Platform, push: Push, client: Sink) -> int:
    """Deploy what the push brings, telling `client` all about it. 0: live, or nothing to deploy."""
    app = apps.find(platform, push.app)
    ref = push.deploys or apps.deploy_branch(app, [move.ref for move in push.moves])
    move = next((m for m in push.moves if m.ref == ref and not repository.is_zero(m.new)), None)
    if ref is None or move is None:
        Output(client).step(apps.stored_message(app, [m.ref for m in push.moves]))
        return 0
    if move.old != move.new:  # else nobody has pushed it
        _choose_branch(platform, app, ref)
    if under_way := _same(platform, app, move.new, push.restores):
        return follow(platform, under_way, client)
    return _run(platform, app, push, move, client)


def rebuild(platform: Platform, app: App, actor: Actor, out: Output, *, restores: int | None = None) -> int:
    """Build the live commit again, with today's config vars, or what waits in the deploy branch; or an older release,
    with the config vars of then, and roll back to it (`restores`: its number). Like a push it runs in a process of its
    own."""
    waiting = releases.waiting_commit(platform, app) if restores is None else None
    commit = waiting or _built_before(platform, app, restores)
    again = Move(apps.deploy_refs(app)[0], commit, commit)
    env = hook.environment(platform.config, app.name, actor, deploys=again.ref, restores=restores)
    with hook.start(platform.config, app.name, [again], env) as process:
        for line in process.stdout or ():
            out.raw(line.decode("utf-8", "replace"))
    return process.returncode


def _built_before(platform: Platform, app: App, number: int | None) -> str:
    """The commit of a release, the live one unless told; NotFound when it is not here any more."""
    release = releases.require_live(app) if number is None else releases.find(app, number)
    if not repository.existing(platform.config.repository(app.name), [release.commit]):
        gone = f"The commit of v{release.number} is not here any more: {release.commit[:12]}"
        raise NotFound(gone, "Push it: that builds it.")
    return str(release.commit)


def follow(platform: Platform, build: Build, client: Sink) -> int:
    """The live output of a build that another push started, and its exit status."""
    Output(client).step(f"Build {build.id} of this commit is under way (pushed by {build.by}); following it")
    path = platform.config.build_log(build.app.name, build.id)
    for chunk in logs.follow_build(path, done=lambda: not queue.is_alive(platform, build), gone=lambda: False):
        client.write(chunk)
    queue.bury_dead(platform, build.app)
    build = Build.get_by_id(build.id)
    failed = PLATFORM_FAILED if build.error.startswith(_NOT_YOURS) else 1
    return {"live": 0, "superseded": 10}.get(build.status, failed)


def _run(platform: Platform, app: App, push: Push, move: Move, client: Sink) -> int:
    """Take a ticket and deploy in this process: every line to the build's log first, then to the client."""
    others = [m for m in push.moves if m is not move] if push.atomic else []
    due = [move, *others] if push.deferred else []
    with queue.ticket(platform, app, move.new, due, push.actor, previous=move.old, restores=push.restores) as build:
        out = Output(logs.BuildLog(platform.config.build_log(app.name, build.id)), client)
        out.step(_opening(platform, app, build, move))
        if loops := _crash_loops(platform, app):
            out.warn(f"{loops}: ssh paas logs {app.name}")
        return _told(platform, build, out, lambda: deploy.deploy(platform, build, out))


def _told(platform: Platform, build: Build, out: Output, work: Callable[[], object]) -> int:
    """Run the deploy; whatever goes wrong becomes lines in the user's words and the build's last status."""
    try:
        work()
    except BaseException as raised:
        error = _as_meant(platform, build, raised)
        if releases.made_by(build) is not None:
            out.warn(f"It is live, but this went wrong afterwards: {error}")
            queue.note(build, f"this went wrong afterwards: {_headline(error)}")
            queue.close(platform, build, "live", "")
            return 0
        code = PLATFORM_FAILED if _is_ours(error) else next((c for kind, c in _CODES if isinstance(error, kind)), 1)
        _tell_failure(build, error, out)
        queue.close(platform, build, "superseded" if code == 10 else "failed", _headline(error))
        if not isinstance(error, GitpaasError):
            raise
        return code
    return 0


def _as_meant(platform: Platform, build: Build, error: BaseException) -> BaseException:
    """A build that was told to end tells who wanted it, not by what means."""
    who = queue.cancelled_by(platform, build)
    return BuildFailed(f"Cancelled by {who}", step="queue") if who else error


def _tell_failure(build: Build, error: BaseException, out: Output) -> None:
    app = App.get_by_id(build.app_id)
    for line in _last_words(error):
        out.detail(line)
    out.warn(f"{_what_failed(error)}{_headline(error).rstrip('.')}. {_still(app)}")
    if isinstance(error, GitpaasError):
        if hint := error.hint or (_NEXT if _is_ours(error) else None):
            out.warn(_APP.sub(rf"\1 {app.name}", hint))
        out.warn(f"Whole log: ssh paas builds:output {app.name} {build.id}")


def _is_ours(error: BaseException) -> TypeGuard[GitpaasError]:
    return isinstance(error, _OURS) and not isinstance(error, CannotStart)


def _what_failed(error: BaseException) -> str:
    if isinstance(error, CannotStart):
        return _FAILED["start"]
    return _FAILED.get(error.step, "Build failed: ") if isinstance(error, BuildFailed) else ""


def _headline(error: BaseException) -> str:
    """What happened, and whose fault it is when it is not the app's."""
    if _is_ours(error):
        return f"{_NOT_YOURS}: {error.message}"
    return error.message if isinstance(error, GitpaasError) else f"{_NOT_YOURS}."


def _last_words(error: BaseException) -> tuple[str, ...]:
    """Lines that nobody has seen yet: those of a build were shown as it ran."""
    if isinstance(error, CommandFailed) or (isinstance(error, BuildFailed) and error.step == "start"):
        return error.tail
    return ()


def _still(app: App) -> str:
    return f"v{app.release} keeps serving." if app.release else "Nothing is live yet."


def _opening(platform: Platform, app: App, build: Build, move: Move) -> str:
    """hello: a1b2c3d..e4f5a6b (3 commits) by alice"""
    who = f"by {signed(build.by, build.key)}"
    if build.restores:
        return f"{app.name}: v{build.restores} ({build.commit[:7]}) is built again for a rollback, {who}"
    if move.old == move.new:
        return f"{app.name}: {build.commit[:7]} again, {who}"
    span = move.new[:7] if repository.is_zero(move.old) else f"{move.old[:7]}..{move.new[:7]}"
    return f"{app.name}: {span} ({_distance(platform, app, move)}) {who}"


def _distance(platform: Platform, app: App, move: Move) -> str:
    """3 commits; of a push by force to what was there before: 2 commits back"""
    path = platform.config.repository(app.name)
    count, back = repository.count_commits(path, move.old, move.new), 0
    if not count and not repository.is_zero(move.old):
        back = repository.count_commits(path, move.new, move.old)
    return f"{count or back} commit{'' if (count or back) == 1 else 's'}{' back' if back else ''}"


def _crash_loops(platform: Platform, app: App) -> str:
    """What of the live release does not stay up: perhaps this push mends it, perhaps nobody has noticed."""
    seen = platform.runtime.survey(app.name).instances
    return crash_loops([instance for instance in seen if instance.release == app.release], time.time())


def _choose_branch(platform: Platform, app: App, ref: str) -> None:
    """The first main or master to arrive is the deploy branch from now on, and what a clone checks out."""
    branch = ref.removeprefix("refs/heads/")
    if app.deploy_branch is None:
        App.update(deploy_branch=branch).where(App.id == app.id, App.deploy_branch.is_null()).execute()
        repository.set_head(platform.config.repository(app.name), branch)


def _same(platform: Platform, app: App, commit: str, restores: int | None) -> Build | None:
    """The build under way that comes to the same."""
    same = (b for b in releases.unfinished(app) if (b.commit, b.restores) == (commit, restores))
    return next((build for build in same if queue.is_alive(platform, build)), None)
