"""The commands that an app wants run once for a release: before anything of it starts, and once it is live.

    predeploy      each deploy, before the release phase                (app.json: scripts.dokku.predeploy)
    release phase  each deploy, before the switch                       (Procfile: release)
    postdeploy     the first deploy only, when it is live               (app.json: scripts.postdeploy, as Heroku has it)
    postdeploy     each deploy, when it is live                         (app.json: scripts.dokku.postdeploy)

Each runs as an instance of the release would, for as long as `release_timeout` lets it; what it writes into /app is
gone with it. Neither a rollback nor a change of config runs any: that was done when the code was deployed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from gitpaas import logs, releases
from gitpaas.appjson.scripts import FIRST_POSTDEPLOY, POSTDEPLOY, PREDEPLOY
from gitpaas.errors import BuildFailed, CommandFailed, GitpaasError
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.procfile import RELEASE
from gitpaas.shell import TIMED_OUT
from gitpaas.store import App, Release

_TITLES = {
    PREDEPLOY: "Predeploy",
    RELEASE: "Release phase",
    FIRST_POSTDEPLOY: "Postdeploy of the first deploy",
    POSTDEPLOY: "Postdeploy",
}
_TAIL = 15  # lines that a failure is told with


def prepare(platform: Platform, app: App, release: Release, out: Output) -> None:
    """What must have succeeded before the release starts. BuildFailed unless each exits 0."""
    for phase in (PREDEPLOY, RELEASE):
        if phase in _commands(release) and release.restores is None:
            with _kept(platform, app, release, out) as out_and_log:
                _run(platform, app, release, phase, out_and_log)


def follow_up(platform: Platform, app: App, release: Release, out: Output) -> str:
    """What comes once it is live. One that fails is told, and changes nothing; what failed, in words."""
    failed = []
    for phase in _after(app, release):
        with _kept(platform, app, release, out) as out_and_log:
            try:
                _run(platform, app, release, phase, out_and_log)
            except GitpaasError as error:
                failed.append(error.message.rstrip("."))
                out_and_log.warn(f"{failed[-1]}. v{release.number} is live all the same.")
    return "; ".join(failed)


def _after(app: App, release: Release) -> list[str]:
    due = [FIRST_POSTDEPLOY, POSTDEPLOY] if releases.before(app, release.number) is None else [POSTDEPLOY]
    return [phase for phase in due if phase in _commands(release) and release.restores is None]


def _commands(release: Release) -> dict[str, str]:
    made = releases.artifact(release)
    return {**made.scripts, **{name: made.processes[name] for name in (RELEASE,) if name in made.processes}}


@contextmanager
def _kept(platform: Platform, app: App, release: Release, out: Output) -> Iterator[Output]:
    """All that is said in the body is kept for releases:output as well."""
    log = logs.ReleaseLog(platform.config.release_log(app.name, release.id))
    try:
        yield out.with_sink(log)
    finally:
        log.close()


def _run(platform: Platform, app: App, release: Release, phase: str, out: Output) -> None:
    title, command = _TITLES[phase], _commands(release)[phase]
    out.step(f"{title}: {command}")
    tail: deque[str] = deque(maxlen=_TAIL)

    def show(line: str) -> None:
        tail.append(line)
        out.detail(line)

    one_off = releases.one_off_spec(platform, app, release, phase, 1, command)
    try:
        code = platform.runtime.run(one_off, show, timeout=platform.config.release_timeout)
    except CommandFailed as error:
        hint = "The limit is release_timeout in the server's settings." if error.code == TIMED_OUT else error.hint
        raise BuildFailed(f"{title}: {error.message}", step="release phase", tail=tuple(tail), hint=hint) from error
    if code != 0:
        raise BuildFailed(f"{title} exited with {code}", step="release phase", tail=tuple(tail))
