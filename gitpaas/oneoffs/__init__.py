"""One-off commands: what is run once beside an app's own processes, by people (run.12) or by cron (cron.3).

start() starts one with the live release's artifact, config vars, user, network, limits and volumes, and returns its row
at once: OneOff.kind and .number name it, .id is what its instance carries (Instance.one_off). Its output is in the
app's log under that name. The reconciler looks after them (settling): when one has ended, its row gets finished_at,
exit_code (None when nobody saw it end) and error (why, in words, unless it just exited), the app's log a line, `events`
an event (of a schedule only when it ends otherwise than the time before), and its traces go. Deploys, ps:restart,
ps:scale and ps:stop leave one-offs alone; they go with their app.

Who wants to know how one ended reads its row: last() is the latest of a schedule, is_over() and label() say the rest.
Rows of the last hundred of each kind are kept, and of each schedule the last.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from gitpaas import events, locks, logs, releases
from gitpaas.errors import Conflict, EngineFailed, GitpaasError, NotFound, OutOfTime
from gitpaas.output import Terminal
from gitpaas.platform import Platform
from gitpaas.runtimes import Attached
from gitpaas.store import App, OneOff, Release
from gitpaas.values import Actor, Env, InstanceSpec

RUN, CRON = "run", "cron"
_KEPT = 100  # rows of each kind of each app
_MOST = 50  # of one app that people may have running at the same time, as Heroku has it
UNREAD = "nobody reads its output any more"
_LOST = "nobody saw how it ended"


def start(
    platform: Platform,
    app: App,
    command: str,
    *,
    kind: str = RUN,
    actor: Actor | None = None,
    schedule: str = "",
    timeout: float | None = None,
    env: Env | None = None,
) -> OneOff:
    """Start a shell command and return at once. It is ended after `timeout` seconds; `env` comes on top of the config
    vars; without an actor the platform itself acts.

    NotFound before the first release; RuntimeFailed when the platform cannot start it, and the row says so too."""
    release = releases.require_live(app)
    with begun(platform, app, release, command, kind, actor, schedule, timeout) as one_off:
        instance = platform.runtime.start(spec(platform, app, release, one_off, env or {}))
        one_off.instance = instance.id
        one_off.save(only=[OneOff.instance])
    return one_off


def command_line(app: App, words: Sequence[str]) -> str:
    """What people mean: one word is a shell command line, several are a program and its arguments exactly as they are;
    and the first may be a process type of the live release."""
    processes = releases.artifact(releases.require_live(app)).processes
    first, *rest = words
    if first in processes and (processes[first] or not rest):  # an image's own start takes no more words
        return " ".join([processes[first], shlex.join(rest)]).strip()
    return shlex.join(words) if rest else first


def stop(platform: Platform, one_off: OneOff, why: str) -> None:
    """End one now, all of it: SIGTERM, the usual grace, SIGKILL. Over already is fine."""
    running = platform.runtime.running(one_off.app.name)
    OneOff.update(error=why).where(OneOff.id == one_off.id, OneOff.finished_at.is_null()).execute()
    for instance in (instance for instance in running if instance.one_off == one_off.id):
        platform.runtime.stop(instance, platform.config.stop_grace)
    with locks.held(platform.config.one_off_lock(one_off.id), wait=False) as is_mine:
        if is_mine:  # else somebody waits for it, and says how it ended
            finish(platform, one_off)


@contextmanager
def attached(
    platform: Platform, app: App, command: str, *, actor: Actor, terminal: Terminal | None, env: Env
) -> Iterator[tuple[OneOff, Attached]]:
    """One in the foreground, for the body. It ends with the body, or with this process: then when the server looks, at
    the latest. Its row is finished in any case."""
    release = releases.require_live(app)
    where = {"TERM": terminal.kind} if terminal else {}
    with begun(platform, app, release, command, RUN, actor) as one_off:
        program, why = None, ""
        try:
            with platform.runtime.open(spec(platform, app, release, one_off, {**where, **env}), terminal) as program:
                OneOff.update(instance=program.id).where(OneOff.id == one_off.id).execute()
                yield one_off, program
        except BrokenPipeError:
            why = UNREAD
            raise
        except ConnectionError:
            why = "the connection was lost"
            raise
        except OutOfTime as error:
            why = out_of_time(error.seconds)
            raise
        except GitpaasError as error:
            why = error.message
            raise
        finally:
            finish(platform, one_off, code=_code(program), error=why, is_event=False)


def out_of_time(seconds: float) -> str:
    """Why it ended, when it was given no more."""
    return f"it took longer than {seconds:g} seconds"


def find(app: App, name: str) -> OneOff:
    """One that runs, by its name (run.12). NotFound says which there are."""
    running = {label(one_off): one_off for one_off in unfinished(app)}
    if name not in running:
        there = ", ".join(running) or "none"
        raise NotFound(f"No one-off command {name[:80]!r} of {app.name} runs.", f"These do: {there}.")
    return running[name]


def unfinished(app: App) -> list[OneOff]:
    """Those that run, oldest first."""
    return list(OneOff.select().where(OneOff.app == app, OneOff.finished_at.is_null()).order_by(OneOff.id))


def last(app: App, schedule: str) -> OneOff | None:
    """The latest that this schedule has started, over or not."""
    query = OneOff.select().where(OneOff.app == app, OneOff.schedule == schedule)
    one_off: OneOff | None = query.order_by(OneOff.id.desc()).first()
    return one_off


def is_over(one_off: OneOff) -> bool:
    return one_off.finished_at is not None


def label(one_off: OneOff) -> str:
    """run.12"""
    return f"{one_off.kind}.{one_off.number}"


def program(command: str) -> str:
    """The program that a command line begins with: what may be told of it, since the rest may hold secrets."""
    with suppress(ValueError):
        words = [word for word in shlex.split(command) if "=" not in word]
        first = next(iter(words[0].split()), "") if words else ""
        return "".join(filter(str.isprintable, first))[:60]
    return ""


def outcome(one_off: OneOff) -> str:
    """ "run.12 exited with 7", and how else it may have ended."""
    if one_off.error:
        return f"{label(one_off)} ended: {one_off.error}"
    return f"{label(one_off)} exited with {one_off.exit_code}"


@contextmanager
def begun(
    platform: Platform,
    app: App,
    release: Release,
    command: str,
    kind: str,
    actor: Actor | None,
    schedule: str = "",
    timeout: float | None = None,
) -> Iterator[OneOff]:
    """The row of a new one. Within the body nobody takes it for lost; a body that fails has finished it."""
    who = {"by": actor.name, "key": actor.key, "address": actor.address} if actor else {"by": events.PLATFORM}
    with ExitStack() as stack:
        with platform.store.transaction():
            _require_room(app, kind)
            number = _latest_number(app, kind) + 1
            one_off = OneOff.create(
                app=app,
                kind=kind,
                number=number,
                command=command,
                schedule=schedule,
                release=release.number,
                timeout=timeout,
                **who,
            )
            # Before anybody sees the row.
            stack.enter_context(locks.held(platform.config.one_off_lock(one_off.id)))
        try:
            yield one_off
        except GitpaasError as error:
            finish(platform, one_off, error=error.message)
            raise


def spec(platform: Platform, app: App, release: Release, one_off: OneOff, env: Env) -> InstanceSpec:
    made = releases.one_off_spec(platform, app, release, one_off.kind, one_off.number, str(one_off.command))
    return replace(made, one_off=one_off.id, env={**made.env, **env})


def finish(
    platform: Platform,
    one_off: OneOff,
    *,
    code: int | None = None,
    error: str = "",
    at: float | None = None,
    is_event: bool = True,
) -> None:
    """It is over: once, whoever says so. Without a code and a reason nobody knows how it ended. `is_event`: no command
    of a person's is, which is an event already."""
    row = OneOff.get_or_none(OneOff.id == one_off.id)
    if row is not None and not is_over(row):
        _finish(platform, row, code, error, at or time.time(), is_event=is_event)
    platform.config.one_off_lock(one_off.id).unlink(missing_ok=True)


def _finish(platform: Platform, row: OneOff, code: int | None, error: str, at: float, *, is_event: bool) -> None:
    row.finished_at, row.exit_code = at, code
    row.error = row.error or error or (_LOST if code is None else "")
    ours = (OneOff.id == row.id) & OneOff.finished_at.is_null()
    values = {OneOff.finished_at: row.finished_at, OneOff.exit_code: row.exit_code, OneOff.error: row.error}
    if OneOff.update(values).where(ours).execute():
        _tell(platform, row, is_event=is_event)
        _prune(row)


def _code(program: Attached | None) -> int | None:
    try:
        return program.wait(0) if program else None
    except (TimeoutError, EngineFailed):
        return None


def _tell(platform: Platform, one_off: OneOff, *, is_event: bool) -> None:
    text, app = outcome(one_off), str(one_off.app.name)
    logs.platform_line(platform.config, app, text)
    if not is_event:
        return
    if not one_off.schedule:
        events.record(str(one_off.kind), text, app=app, result=_result(one_off))
    elif _is_news(one_off):
        events.record(str(one_off.kind), f"{one_off.schedule}: {text}", app=app, result=_result(one_off))


def _is_news(one_off: OneOff) -> bool:
    """Of a schedule those that end otherwise than the one before, since it may run every minute."""
    same = (OneOff.app == one_off.app) & (OneOff.schedule == one_off.schedule) & OneOff.finished_at.is_null(False)
    before = OneOff.select().where(same, OneOff.id < one_off.id).order_by(OneOff.id.desc()).first()
    return _result(one_off) != (_result(before) if before else "ok")


def _result(one_off: OneOff) -> str:
    return "failed" if one_off.error or one_off.exit_code else "ok"


def _prune(one_off: OneOff) -> None:
    same = OneOff.select(OneOff.id, OneOff.schedule).where(OneOff.app == one_off.app, OneOff.kind == one_off.kind)
    over = list(same.where(OneOff.finished_at.is_null(False)).order_by(OneOff.id.desc()))
    latest = {row.schedule: row.id for row in reversed(over) if row.schedule}
    old = {row.id for row in over[_KEPT:]} - set(latest.values())
    OneOff.delete().where(OneOff.id << list(old)).execute()


def _require_room(app: App, kind: str) -> None:
    """Each takes as much memory as an instance may."""
    if kind == RUN and len([one for one in unfinished(app) if one.kind == kind]) >= _MOST:
        raise Conflict(f"{_MOST} one-off commands of {app.name} run already.", "End one: run:stop. `ps` lists them.")


def _latest_number(app: App, kind: str) -> int:
    row = OneOff.select().where(OneOff.app == app, OneOff.kind == kind).order_by(OneOff.number.desc()).first()
    return row.number if row else 0
