"""What the hook does with a push: choose the ref that deploys, take a ticket or follow the build that has one,
and end with an exit status that becomes git's answer (values.RECEIVE_REASONS)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gitpaas import apps, deploy, hook, logs, queue, releases, repository
from gitpaas.errors import BuildFailed, Conflict, GitpaasError, NotAllowed, NotFound, Superseded
from gitpaas.output import Output, Sink
from gitpaas.platform import Platform
from gitpaas.repository import Move
from gitpaas.store import App, Build
from gitpaas.values import Actor

_CODES: tuple[tuple[type[GitpaasError], int], ...] = ((Superseded, 10), (Conflict, 11), (NotAllowed, 12))
_FAILED = {"start": "Start failed: ", "release phase": "", "queue": ""}  # by step; anything else is the build's


@dataclass(frozen=True)
class Push:
    """One push as the hook sees it. `deferred`: the deploy branch has not moved; with `atomic`, no ref has."""

    app: str
    moves: tuple[Move, ...]
    actor: Actor
    deferred: bool = False
    atomic: bool = False


def receive(platform: Platform, push: Push, client: Sink) -> int:
    """Deploy what the push brings, telling `client` all about it. 0: live, or nothing to deploy."""
    app = apps.find(platform, push.app)
    ref = apps.deploy_branch(app, [move.ref for move in push.moves])
    move = next((m for m in push.moves if m.ref == ref and not repository.is_zero(m.new)), None)
    if ref is None or move is None:
        Output(client).step(apps.stored_message(app, [m.ref for m in push.moves]))
        return 0
    _choose_branch(platform, app, ref)
    if under_way := _same_commit(platform, app, move.new):
        return follow(platform, under_way, client)
    others = [m for m in push.moves if m is not move] if push.atomic else []
    moves = [move, *others] if push.deferred else []
    return run(platform, app, move, moves, push.actor, client)


def rebuild(platform: Platform, app: App, actor: Actor, out: Output) -> int:
    """Build the live commit again, with today's config vars. Like a push it runs in a process of its own."""
    release = releases.live(app)
    if release is None or not release.commit:
        raise NotFound(f"{app.name} has no release yet.", f"Push one: git push paas:{app.name} main")
    again = Move(f"refs/heads/{app.deploy_branch}", release.commit, release.commit)
    process = hook.start(platform.config, app.name, [again], hook.environment(platform.config, app.name, actor))
    if process.stdout is not None:
        for line in process.stdout:
            out.raw(line.decode("utf-8", "replace"))
    return process.wait()


def run(platform: Platform, app: App, push: Move, moves: Sequence[Move], actor: Actor, client: Sink) -> int:
    """Take a ticket and deploy in this process: every line to the build's log first, then to the client."""
    with queue.ticket(platform, app, push.new, moves, actor) as build:
        out = Output(logs.BuildLog(platform.config.build_log(app.name, build.id)), client)
        out.step(_opening(platform, app, build, push))
        return _told(platform, build, out, lambda: deploy.deploy(platform, build, out))


def follow(platform: Platform, build: Build, client: Sink) -> int:
    """The live output of a build that another push started, and its exit status."""
    Output(client).step(f"Build {build.id} of this commit is under way (pushed by {build.by}); following it")
    path = platform.config.build_log(build.app.name, build.id)
    for chunk in logs.follow_build(path, done=lambda: not queue.is_alive(platform, build), gone=lambda: False):
        client.write(chunk)
    queue.bury_dead(platform, build.app)
    build = Build.get_by_id(build.id)
    return {"live": 0, "superseded": 10}.get(build.status, 1)


def _told(platform: Platform, build: Build, out: Output, work: Callable[[], object]) -> int:
    """Run the deploy; whatever goes wrong becomes lines in the user's words and the build's last status."""
    try:
        work()
    except BaseException as error:
        if releases.made_by(build) is not None:
            out.warn(f"It is live, but this went wrong afterwards: {error}")
            queue.close(platform, build, "live", "")
            return 0
        code = next((code for kind, code in _CODES if isinstance(error, kind)), 1)
        _tell_failure(build, error, out)
        queue.close(platform, build, "superseded" if code == 10 else "failed", str(error))
        if not isinstance(error, GitpaasError):
            raise
        return code
    return 0


def _tell_failure(build: Build, error: BaseException, out: Output) -> None:
    app = App.get_by_id(build.app_id)
    if not isinstance(error, GitpaasError):
        out.warn(f"The platform failed, not your app. {_still(app)}")
        return
    if isinstance(error, BuildFailed) and error.step == "start":
        for line in error.tail:
            out.detail(line)
    failed = _FAILED.get(error.step, "Build failed: ") if isinstance(error, BuildFailed) else ""
    headline = f"{failed}{error.message}"
    out.warn(f"{headline.rstrip('.')}. {_still(app)}")
    if error.hint:
        out.warn(error.hint)
    out.warn(f"Whole log: ssh paas builds:output {app.name} {build.id}")


def _still(app: App) -> str:
    return f"v{app.release} keeps serving." if app.release else "Nothing is live yet."


def _opening(platform: Platform, app: App, build: Build, push: Move) -> str:
    """hello: a1b2c3d..e4f5a6b (3 commits) by alice"""
    who = f"by {build.by}" + (f', key "{build.key}"' if build.key and build.key != build.by else "")
    if push.old == push.new:
        return f"{app.name}: {build.commit[:7]} again, {who}"
    count = repository.count_commits(platform.config.repository(app.name), push.old, push.new)
    span = push.new[:7] if repository.is_zero(push.old) else f"{push.old[:7]}..{push.new[:7]}"
    return f"{app.name}: {span} ({count} commit{'' if count == 1 else 's'}) {who}"


def _choose_branch(platform: Platform, app: App, ref: str) -> None:
    """The first main or master to arrive is the deploy branch from now on, and what a clone checks out."""
    branch = ref.removeprefix("refs/heads/")
    if app.deploy_branch is None:
        App.update(deploy_branch=branch).where(App.id == app.id, App.deploy_branch.is_null()).execute()
        repository.set_head(platform.config.repository(app.name), branch)


def _same_commit(platform: Platform, app: App, commit: str) -> Build | None:
    same = (build for build in releases.unfinished(app) if build.commit == commit and queue.is_alive(platform, build))
    return next(same, None)
