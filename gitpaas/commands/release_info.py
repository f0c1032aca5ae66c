"""releases:info: what a release is, and what it changed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gitpaas.commands.table import ago, iso
from gitpaas.errors import RuntimeFailed
from gitpaas.output import amount, plain, seconds, signed
from gitpaas.store import App, Build, Release
from gitpaas.values import Artifact

if TYPE_CHECKING:
    from gitpaas.platform import Platform
    from gitpaas.releases.differences import Difference, Names


def state(app: App, release: Release) -> str:
    """live, old, failed or pending."""
    if release.number == app.release:
        return "live"
    return "old" if release.status == "live" else str(release.status)


def took(release: Release) -> float | None:
    """Seconds until it was live: from when its build began, or from when it was made when it needed none."""
    if release.live_at is None:
        return None
    build: Build | None = release.build
    began = build.started_at if build and build.release == release.number else None
    return max(0.0, float(release.live_at) - float(began or release.created_at))


def describe(app: App, release: Release) -> dict[str, Any]:
    """What `releases` lists of it."""
    return {
        "release": release.number,
        "state": state(app, release),
        "pinned": release.pinned,
        "description": release.description,
        "commit": release.commit or None,
        "subject": release.subject,
        "build": release.build_id,
        "by": release.by,
        "key": release.key,
        "created_at": iso(release.created_at),
        "live_at": iso(release.live_at),
        "seconds": took(release),
    }


def describe_all(platform: Platform, app: App, release: Release) -> dict[str, Any]:
    """All of it. Config vars by name only."""
    from gitpaas import releases
    from gitpaas.apps import configvars
    from gitpaas.releases import differences

    made, difference = releases.artifact(release), differences.since_before(platform, app, release)
    return describe(app, release) | {
        "artifact": {"kind": made.kind, "reference": made.reference, "size": made.size, "builder": made.builder},
        "kept": _is_kept(platform, release),
        "label": made.label,
        "processes": dict(made.processes),
        "formation": json.loads(release.formation),
        "config": sorted(configvars.of_release(platform, release)),
        "difference": asdict(difference) if difference else None,
    }


def lines(platform: Platform, app: App, release: Release) -> list[tuple[str, str]]:
    """The same for people: label and text. A label that is empty goes on with what the one above it says."""
    from gitpaas import releases
    from gitpaas.apps import configvars
    from gitpaas.releases import differences

    made, needed = releases.artifact(release), took(release)
    told = [
        ("Release", f"v{release.number}"),
        ("State", state(app, release) + (", pinned" if release.pinned else "")),
        ("What", release.description),
        ("Commit", f"{release.commit[:12]} {release.subject}"),
        ("By", signed(release.by, release.key)),
        ("Made", ago(release.created_at)),
        ("Live after", seconds(needed) if needed is not None else ""),
        ("Build", str(release.build_id or "")),
        ("App", made.label),
        (made.kind.capitalize(), f"{made.reference}, {amount(made.size)}, {_kept_in_words(platform, release)}"),
        ("Processes", ", ".join(made.processes)),
        ("Formation", " ".join(f"{process}={n}" for process, n in json.loads(release.formation).items())),
        ("Config", " ".join(sorted(configvars.of_release(platform, release)))),
    ]
    told += _changes(made, differences.since_before(platform, app, release))
    return [(label, plain(text)) for label, text in told if text.strip()]


def _changes(made: Artifact, difference: Difference | None) -> list[tuple[str, str]]:
    if difference is None:
        return [("Changed", "nothing was live before")]
    what = [
        "commit {} to {}".format(*(commit[:7] for commit in difference.commits)) if difference.commits else "",
        f"another {made.kind}" if difference.artifact else "",
        *(f"config {text}" for text in _in_words(difference.config)),
        *(f"process {text}" for text in _in_words(difference.processes)),
        *(f"{process}={then} to {process}={now}" for process, (then, now) in difference.formation.items()),
    ]
    told = [text for text in what if text] or ["nothing"]
    since = f"Since v{difference.since}"
    return [(since if text is told[0] else " ", text) for text in told]


def _in_words(names: Names) -> list[str]:
    every = (("added", names.added), ("removed", names.removed), ("changed", names.changed))
    return [f"{what}: {', '.join(some)}" for what, some in every if some]


def _kept_in_words(platform: Platform, release: Release) -> str:
    kept = _is_kept(platform, release)
    if kept is None:
        return "Docker Engine does not say whether it is kept"
    return "kept" if kept else "not kept: a rollback builds it again"


def _is_kept(platform: Platform, release: Release) -> bool | None:
    """None when that cannot be told now."""
    from gitpaas import releases

    try:
        return releases.is_kept(platform, release)
    except RuntimeFailed:
        return None
