"""`gitpaas receive`: what hooks/post-receive becomes. It is the deploy, and outlives whoever pushed."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, NoReturn

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.door import guarded
from gitpaas.errors import GitpaasError, UsageError
from gitpaas.git.repository import Move
from gitpaas.names import app_name, object_id
from gitpaas.values import ROLES, Actor, Role

if TYPE_CHECKING:
    from gitpaas import receive as room

_FAREWELL = 5.0  # seconds a slow reader gets for the last lines
_BACKLOG = 4 * 1024 * 1024  # bytes kept for a reader who has stalled; the build's log has all of it


@command("receive", role="admin", local=True, hidden=True)
def receive(call: Call) -> int:
    """Deploy a push. Git's hook calls this with "old new ref" lines on standard input."""
    from gitpaas import receive as room

    heed()
    push = read_push(call.config.environ, call.console.read())
    client = DetachedSink(call.console.out)
    try:
        work = partial(room.receive, call.platform, push, client)
        return guarded(call.config, call.console, work, unexpected=room.PLATFORM_FAILED)
    finally:
        client.close()


def heed() -> None:
    """The one who pushed may leave, the deploy goes on; SIGTERM ends it, and it takes back what it has begun."""
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough, and the taking back is not to be disturbed
    raise GitpaasError("The deploy was ended by a signal (SIGTERM)", "Push again.")


def read_push(environ: Mapping[str, str], lines: bytes) -> room.Push:
    """The push, from the hook's standard input and environment. UsageError when they are not a hook's."""
    from gitpaas import receive as room

    app = app_name(environ.get("GITPAAS_APP") or _app_of(environ))
    role: Role = next((role for role in ROLES if role == environ.get("GITPAAS_ROLE")), "admin")
    return room.Push(
        app=app,
        moves=tuple(_move(line) for line in lines.decode("utf-8", "surrogateescape").splitlines()),
        actor=Actor(
            name=environ.get("GITPAAS_ACTOR", "git"),
            role=None,
            key=environ.get("GITPAAS_KEY"),
            address=environ.get("GITPAAS_ADDRESS", "local"),
            grants={app: role},
        ),
        deploys=environ.get("GITPAAS_DEPLOYS"),
        deferred=environ.get("GITPAAS_DEFERRED") == "1",
        atomic=environ.get("GITPAAS_ATOMIC") == "1",
        restores=int(restores) if (restores := environ.get("GITPAAS_RESTORES", "")).isdecimal() else None,
    )


def _app_of(environ: Mapping[str, str]) -> str:
    """Under stock git the bare repository's own name tells which app it is."""
    return Path(environ.get("GIT_DIR", ".")).resolve().name.removesuffix(".git")


def _move(line: str) -> Move:
    try:
        old, new, ref = line.split(" ", 2)
    except ValueError:
        raise UsageError(f"{line[:80]!r} is not an `old new ref` line", "Git's hooks call this; people push.") from None
    return Move(ref, object_id(old), object_id(new))


class DetachedSink:
    """Passes bytes on from a thread of its own, so that a reader who is slow, stalled or gone delays nothing."""

    def __init__(self, out: Callable[[str], None]) -> None:
        self._out = out
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._change = Condition()
        self._closed = False
        self._thread = Thread(target=self._pass_on, name="client", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        with self._change:
            if not self._closed:
                self._waiting.append(data)
                self._size += len(data)
                self._drop()
                self._change.notify()

    def close(self) -> None:
        """Wait a moment for the last lines to be read; then let go."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join(timeout=_FAREWELL)

    def _pass_on(self) -> None:
        while (data := self._next()) is not None:
            try:
                self._out(data.decode("utf-8", "replace"))
            except OSError:
                break
        with self._change:
            self._closed = True
            self._waiting.clear()

    def _next(self) -> bytes | None:
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            return data or None

    def _drop(self) -> None:
        """The oldest of what nobody reads."""
        while self._size > _BACKLOG and len(self._waiting) > 1:
            self._size -= len(self._waiting.popleft())


COMMANDS = (receive,)
