"""What the instances of an app may take of the machine, changed while it runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gitpaas import apps, releases
from gitpaas.apps import holding, resources
from gitpaas.errors import GitpaasError, Unhealthy
from gitpaas.instances import rollout
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.store import App, Release


def limit(
    platform: Platform, app: App, process: str, texts: Mapping[str, str], out: Output, *, restart: bool = True
) -> None:
    """Say it of a process type ("": all others), and replace the instances that run with other limits, without
    downtime. Unhealthy when the fresh ones do not come up: then all is as it was."""
    with rollout.change(platform, app, out) as app:
        formation = releases.formation(app)
        if process != resources.OTHERS:
            resources.require_process(app, formation, process)
        before = {name: resources.limits(platform.config, app, name) for name in formation}
        app.resources = resources.changed(app, process, texts)
        after = {name: resources.limits(platform.config, app, name) for name in formation}
        for name in sorted(set(formation) if process == resources.OTHERS else {process}):
            out.step(f"{name}: {_told(resources.written(resources.limits(platform.config, app, name)))}")
        running = {name: numbers for name, numbers in holding.wanted(app, formation).items() if numbers}
        about = {name: numbers for name, numbers in running.items() if before[name] != after[name]}
        release = releases.live(app)
        if release is not None and about and restart:
            _replace(platform, app, release, about, out)
        else:
            resources.keep(app, app.resources)
            out.step(_from_when(about))


def _replace(platform: Platform, app: App, release: Release, about: holding.Copies, out: Output) -> None:
    out.step(f"Replacing the instances of {' and '.join(sorted(about))} by fresh ones, without downtime")
    before = {instance.id for instance in platform.runtime.running(app.name)}
    try:
        rollout.renew(platform, app, release, out, about, lambda: resources.keep(app, app.resources))
    except Unhealthy as error:
        out.detail("\n".join(error.tail))
        _take_back(platform, app, release, before, out)
        raise Unhealthy(
            error.message, step=error.step, tail=error.tail, hint="The limits are as before, and what ran runs on."
        ) from error


def _take_back(platform: Platform, app: App, release: Release, before: Collection[str], out: Output) -> None:
    """Those that were replaced before one failed (where that is done a few at a time) get the old limits again."""
    fresh = [i for i in platform.runtime.running(app.name) if i.id not in before and i.one_off is None]
    if not fresh:
        return
    about = {i.process: tuple(one.number for one in fresh if one.process == i.process) for i in fresh}
    try:
        rollout.renew(platform, apps.now(app), release, out, about)
    except GitpaasError as error:
        names = ", ".join(sorted(i.label for i in fresh))
        out.warn(f"{error.message.rstrip('.')}. {names} may have the new limits until the next start.")


def _told(words: Mapping[str, str]) -> str:
    named = {"memory": "memory", "cpu": "CPUs", "processes": "processes"}
    return ", ".join(f"{named[key]} {'without limit' if words[key] == '-' else words[key]}" for key in resources.KEYS)


def _from_when(about: holding.Copies) -> str:
    return "From their next start on" if about else "What runs is not concerned"
