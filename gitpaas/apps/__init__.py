"""Apps: who may make one, what it is called, what of the machine it may use."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from gitpaas import access, linux, locks, logs, shell, tree
from gitpaas.apps import aliases
from gitpaas.config import Config
from gitpaas.errors import Conflict, NotAllowed, NotFound, UsageError, nearest
from gitpaas.git import repository
from gitpaas.names import app_name
from gitpaas.platform import Platform
from gitpaas.store import App, Build
from gitpaas.values import Actor, Limits

# What a push deploys until a branch was chosen: whichever of these comes first.
_FIRST_BRANCHES = ("main", "master")


def find(platform: Platform, name: str) -> App:
    """The app of that name, or NotFound with the nearest names."""
    app = App.get_or_none(App.name == name)
    if app is None:
        hint = nearest(name, (row.name for row in App.select(App.name)), "List them: ssh paas apps")
        raise NotFound(f"There is no app {name[:80]!r}.", hint)
    return app


def now(app: App) -> App:
    """The same as it is kept at this moment; NotFound when it was destroyed meanwhile."""
    row: App | None = App.get_or_none(App.id == app.id)
    if row is None:
        raise NotFound(f"{app.name} was destroyed meanwhile.")
    return row


def listing(platform: Platform) -> list[App]:
    """All apps by name."""
    return list(App.select().order_by(App.name))


def create(platform: Platform, name: str, actor: Actor, object_format: str = "sha1") -> App:
    """Make the app and its bare repository (git's object format: sha1 or sha256). Conflict when the name is taken."""
    app_name(name)
    with platform.store.transaction():
        if App.get_or_none(App.name == name):
            raise Conflict(f"There is an app {name!r} already.", f"Push to it: git push paas:{name} main")
        app = App.create(name=name, created_by=actor.name)
    repository.create(platform.config.repository(name), platform.config.home, object_format)
    platform.router.show(platform.config.host(name), "empty")
    return app


def for_push(platform: Platform, name: str, actor: Actor, object_format: str = "sha1") -> App:
    """The app a push is for; its first push makes it, if the key's role and the settings let it."""
    app_name(name)
    access.require(actor, "deploy", name, "A push")
    app = App.get_or_none(App.name == name)
    if app is not None:
        if not platform.config.repository(name).exists():  # whoever made the app was killed half-way
            repository.create(platform.config.repository(name), platform.config.home, object_format)
        return app
    if not platform.config.create_on_push:
        raise NotAllowed(
            f"There is no app {name!r}, and pushes do not make apps here.", f"First: ssh paas apps:create {name}"
        )
    access.require(actor, "deploy", None, "A push that makes an app")
    try:
        return create(platform, name, actor, object_format)
    except Conflict:
        return find(platform, name)  # two first pushes at the same moment


def deploy_branch(app: App | None, refs: Sequence[str]) -> str | None:
    """The full ref among `refs` that a push deploys, or None."""
    return next((ref for ref in deploy_refs(app) if ref in refs), None)


def deploy_refs(app: App | None) -> Sequence[str]:
    """What a push may deploy: the chosen branch, or whichever of these comes first."""
    chosen = [app.deploy_branch] if app is not None and app.deploy_branch else _FIRST_BRANCHES
    return [f"refs/heads/{branch}" for branch in chosen]


def choose_deploy_branch(platform: Platform, app: App, branch: str | None) -> None:
    """What pushes deploy from now on, and what a clone checks out; None: the first main or master that comes.
    UsageError for what is no branch."""
    if branch is not None and not repository.is_branch_name(branch):
        raise UsageError(f"{branch[:80]!r} is no name of a branch.", "For example: deploy-branch=production")
    App.update(deploy_branch=branch).where(App.id == app.id).execute()
    if branch is not None:
        repository.set_head(platform.config.repository(app.name), branch)


def stored_message(app: App | None, refs: Sequence[str]) -> str:
    """What a push of other refs is told: they are kept, and what would deploy."""
    branch = app.deploy_branch if app is not None and app.deploy_branch else " or ".join(_FIRST_BRANCHES)
    names = [ref.removeprefix("refs/heads/").removeprefix("refs/") for ref in refs]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    first = branch.split(" ")[0]
    what = f"{names[0]}:{first}" if refs[0].startswith("refs/heads/") else first  # a tag may be no commit
    return f"{shown} stored; only {branch} is deployed (git push paas {shlex.quote(what)})"


def destroy(platform: Platform, app: App) -> None:
    """Stop it, forget its host and domains, and remove everything it had. Conflict while a build of it runs."""
    config, name = platform.config, app.name
    with locks.held(config.rollout_lock(name)), locks.held(config.live_lock(name)):
        platform.runtime.running(name)  # EngineFailed as long as nothing is gone yet
        _take_away(platform, app)
        platform.router.forget(config.host(name))
        aliases.settle(platform)  # its domains went with its row
        if instances := platform.runtime.running(name):
            with ThreadPoolExecutor(len(instances)) as together:
                list(together.map(lambda instance: platform.runtime.stop(instance, config.stop_grace), instances))
        platform.runtime.forget(name)
        for artifacts in platform.artifacts.values():
            artifacts.forget(name)
        for folder in _folders(config, name):
            for doomed in folder.parent.glob(".*"):  # and what is left of another one, whose removal was killed
                shell.remove(doomed)


def uid(config: Config, app: App) -> int | None:
    """The user an app's code runs as; None when the server itself is not allowed to choose one."""
    return config.app_uid_base + app.id if linux.can_confine() else None


def limits(config: Config) -> Limits:
    """What one instance may take."""
    return Limits(config.instance_memory, config.instance_processes, config.instance_files, config.instance_cpus)


def hand_over(path: os.PathLike[str], user: int | None) -> None:
    """Give a whole tree to an app's user. Links themselves change hands, never what they point at."""
    if user is None:
        return
    os.chown(path, user, user)
    for entry in tree.everything(path):
        os.chown(entry.path, user, user, follow_symlinks=False)


def _take_away(platform: Platform, app: App) -> None:
    """Row and files in one moment: in the next, a push may make another app of this name."""
    config = platform.config
    with locks.held(config.tickets_lock), platform.store.transaction():
        for build in Build.select().where(Build.app == app, Build.finished_at.is_null()):
            if locks.is_held(config.build_lock(build.id)):
                raise Conflict(
                    f"Build {build.id} of {app.name} is running.", "Wait until it has ended, then try again."
                )
        app.delete_instance()
        for folder in _folders(config, app.name):
            with suppress(FileNotFoundError):
                folder.rename(folder.with_name(f".{folder.name}.{app.id}"))
        logs.remove(config, app.name)


def _folders(config: Config, name: str) -> tuple[Path, ...]:
    return config.repository(name), config.slugs(name), config.cache(name)
