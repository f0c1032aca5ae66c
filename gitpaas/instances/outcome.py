"""What a deploy ends with: where the app answers, and which processes wait until somebody asks for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gitpaas import apps, releases
from gitpaas.apps import configvars, domains, formations
from gitpaas.platform import Platform
from gitpaas.releases import differences
from gitpaas.router import certificates
from gitpaas.store import App, Release

_URLS = 5  # besides the app's own; and as many that lack a certificate


def outcome(platform: Platform, release: Release) -> list[str]:
    """A line each, of a release that has just gone live."""
    app = apps.now(release.app)
    url, made = platform.config.url(app.name), releases.artifact(release)
    lines = [url if "web" in made.processes else f"It has no web process, so nothing answers at {url}"]
    lines += _further_urls(platform, app) + _uncertified(platform, app) if "web" in made.processes else []
    formation = formations.of(app, made)
    idle = [process for process, count in formation.items() if not count]
    if len(idle) == len(formation) and not app.stopped:
        lines.append(f"Nothing of it runs yet: {_scaling(app, idle)}")
    elif new := [process for process in idle if process in _new(platform, app, release)]:
        lines.append(f"{', '.join(new)} will run when you ask for it: {_scaling(app, new)}")
    return lines + waiting(platform, app, release)


def waiting(platform: Platform, app: App, release: Release) -> list[str]:
    """Who goes back learns which config vars wait for the next release, as they did before: names, never values."""
    names = configvars.not_live(platform, app, release)
    return [f"Not live yet, for the next release: {', '.join(names)} (ssh paas config {app.name})"] if names else []


def _further_urls(platform: Platform, app: App) -> list[str]:
    """Of many the first few."""
    urls = domains.urls(platform, app)
    more = [f"and {len(urls) - _URLS} more: ssh paas domains {app.name}"] if len(urls) > _URLS else []
    return [*urls[:_URLS], *more]


def _uncertified(platform: Platform, app: App) -> list[str]:
    """What a CA said about its names, in one line each."""
    config = platform.config
    names = domains.single_hosts(config, app, domains.of(app)) if config.https_port else []
    failed = [one for one in certificates.standings(config, names) if one.failure and not one.certificate]
    return [f"{one.host} has no certificate: {one.failure.error if one.failure else ''}" for one in failed[:_URLS]]


def _scaling(app: App, processes: Sequence[str]) -> str:
    return f"ssh paas ps:scale {app.name} {' '.join(f'{process}=1' for process in processes)}"


def _new(platform: Platform, app: App, release: Release) -> Collection[str]:
    """Process types that no earlier deploy has told of."""
    difference = differences.since_before(platform, app, release)
    return difference.processes.added if difference else releases.artifact(release).processes
