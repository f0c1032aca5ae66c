"""Releases in the app's own repository, for `git fetch` and `git log`: a ref `refs/releases/v12` for each, which also
keeps its commit from being collected, and a note at the commit that says which, when, by whom and why.

All of it derives from the database. What is not written because somebody was killed, the next release makes up for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from gitpaas.errors import CommandFailed
from gitpaas.git import repository
from gitpaas.git.repository import NOTES, RELEASES
from gitpaas.output import plain
from gitpaas.platform import Platform
from gitpaas.store import App, Release

_log = logging.getLogger(__name__)

_REMEMBERED = 1000  # releases of each app, the newest, that have a ref; and the pinned ones
_NOTED = 20  # releases of one commit, the newest, that its note tells of
_NOTES_TOO = f"{RELEASES}notes"  # so that who fetches the releases has their notes as well


def record(platform: Platform, app: App) -> None:
    """Write down the live releases that are not yet, and let go of those of long ago. For who holds the rollout lock;
    a release is live without it."""
    path = platform.config.repository(app.name)
    try:
        there = set(repository.refs(path, RELEASES, NOTES))
        wanted = _remembered(app)
        missing = {ref: commit for ref, commit in wanted.items() if ref not in there}
        commits = repository.existing(path, list(missing.values()))
        due = {ref: commit for ref, commit in missing.items() if commit in commits}
        if due:
            repository.fast_import(path, _notes(app, due, continues=NOTES in there).encode())
        if due and _NOTES_TOO not in there:
            repository.git(path, "symbolic-ref", _NOTES_TOO, NOTES)
        # Last: a release that has its ref is done with.
        repository.set_refs(path, due | dict.fromkeys(there - {NOTES, _NOTES_TOO} - wanted.keys()))
    except CommandFailed as error:  # no room on the disk, say
        _log.warning("releases of %s are not in its repository yet: %s", app.name, error.message)


def _remembered(app: App) -> dict[str, str]:
    """Refs and their commits, oldest first. Without the rest of the rows, which may be much."""
    ours = Release.select(Release.number, Release.commit).where(Release.app == app, Release.status == "live")
    ours = ours.where(Release.commit != "")
    newest = ours.order_by(Release.number.desc()).limit(_REMEMBERED)
    commits = {release.number: release.commit for release in (*newest, *ours.where(Release.pinned))}
    return {f"{RELEASES}v{number}": commits[number] for number in sorted(commits)}


def _notes(app: App, due: Mapping[str, str], *, continues: bool) -> str:
    """What git fast-import reads to make one commit of notes, for these refs and their commits."""
    words = ", ".join(ref.removeprefix(RELEASES) for ref in due)
    lines = [f"commit {NOTES}", f"committer gitpaas <gitpaas@localhost> {int(time.time())} +0000", *_data(words)]
    lines += [f"from {NOTES}^0"] if continues else []
    for commit in dict.fromkeys(due.values()):
        lines += [f"N inline {commit}", *_data("\n".join(_note(app, commit)) + "\n")]
    return "\n".join([*lines, "done", ""])


def _data(text: str) -> tuple[str, str]:
    return f"data {len(text.encode())}", text


def _note(app: App, commit: str) -> Iterator[str]:
    """All releases of the commit, since it may be more than one."""
    told = Release.number, Release.live_at, Release.created_at, Release.description, Release.by, Release.key
    ours = Release.select(*told).where(Release.app == app, Release.status == "live", Release.commit == commit)
    newest = list(ours.order_by(Release.number.desc()).limit(_NOTED))
    if earlier := ours.count() - len(newest):
        yield f"({earlier} earlier)"
    yield from map(_line, reversed(newest))


def _line(release: Release) -> str:
    when = datetime.fromtimestamp(release.live_at or release.created_at, UTC)
    who = release.by + (f' (key "{release.key}")' if release.key and release.key != release.by else "")
    line = f"v{release.number}  {when:%Y-%m-%d %H:%M:%S} UTC  {release.description}, by {who}"
    return plain(line)
