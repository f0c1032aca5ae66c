"""Every error a user may see. Raised anywhere, caught once at the door (cli, an SSH session, the hook)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GitpaasError(Exception):
    """Something went wrong and the user can read what: `message` says what happened, `hint` what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GitpaasError):
    """The command or its arguments are off."""

    exit_code = 2


class NotAllowed(GitpaasError):
    """The key's role does not reach this far."""

    exit_code = 3


class NotFound(GitpaasError):
    """No app, key, build or release of that name."""


class NotKept(NotFound):
    """What a release ran is not there any more. It can be built again: `release` is its number."""

    def __init__(self, message: str, hint: str | None = None, *, release: int) -> None:
        super().__init__(message, hint)
        self.release = release


class Conflict(GitpaasError):
    """Somebody else got there first: a name or a port taken, a ref moved, a second server."""


class BadConfig(GitpaasError):
    """gitpaas.toml or a GITPAAS_ variable holds something unusable."""


class CommandFailed(GitpaasError):
    """A child process ended badly. `tail` holds its last lines, oldest first."""

    def __init__(self, message: str, *, code: int, tail: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.code = code
        self.tail = tail


class OutOfTime(CommandFailed):
    """A command of a person's had been given so many seconds, and they are over."""

    exit_code = 124  # as coreutils' timeout says it

    def __init__(self, seconds: float) -> None:
        super().__init__(f"It took longer than {seconds:g} seconds and was ended.", code=self.exit_code)
        self.seconds = seconds


class BuildFailed(GitpaasError):
    """The app does not build: the user's problem, told as a result with its log. `step` names what failed."""

    def __init__(
        self, message: str, *, step: str = "build", tail: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint)
        self.step = step
        self.tail = tail


class Superseded(BuildFailed):
    """A newer push of the same app took this one's place in the queue."""


class Unhealthy(BuildFailed):
    """The new instances did not answer in time, or died. The old release keeps serving."""


class StoreFailed(GitpaasError):
    """The database cannot be read or written: a full disk, or somebody who does not let go of it."""


class RouterFailed(GitpaasError):
    """Caddy does not start, does not answer, or refuses its configuration."""


class RuntimeFailed(GitpaasError):
    """The runtime cannot start or stop an instance: the platform's problem, not the app's."""


class CannotStart(RuntimeFailed):
    """What the app is to be started by is not there, or cannot be executed: the app's problem after all."""


class EngineFailed(RuntimeFailed):
    """Docker Engine does not answer (`status` None), or refuses what we ask of it (its HTTP status)."""

    def __init__(self, message: str, hint: str | None = None, *, status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


class ToolFailed(GitpaasError):
    """A program of the toolchain cannot be had, or does not do its work: the platform's problem, not the app's."""


class OutOfReach(GitpaasError):
    """What a build has to fetch from elsewhere could not be fetched: a program, an image, versions, packages."""


class ToolOutOfReach(OutOfReach, ToolFailed):
    """Before the app's own steps: the platform's problem."""


class PackagesOutOfReach(OutOfReach, BuildFailed):
    """In a step of the app's build."""


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """The hint for a name that is not there: the one that is spelt almost like it, or else this."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else otherwise
