"""The one place where errors become lines for the user. No traceback gets past it."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable

from gitpaas import upgrade
from gitpaas.config import Config
from gitpaas.errors import GitpaasError
from gitpaas.output import Console, warning

_INTERRUPTED = 130  # 128 + SIGINT, as shells say it
_NO_READER = 141  # 128 + SIGPIPE
_MOST_DETAILS = 1024 * 1024  # bytes of errors.log, then it starts anew


def guarded(config: Config | None, console: Console, body: Callable[[], int], *, unexpected: int = 1) -> int:
    """The exit code of `body`; what it raises is told on the console's error stream. `unexpected` is the code for what
    is no error of ours."""
    try:
        return body()
    except GitpaasError as error:
        return _tell(console, error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ConnectionError:
        return _NO_READER
    except Exception as error:  # whatever it is, the user gets one line
        return _NO_READER if console.gone() else _tell(console, _unexpected(config, error)) and unexpected


def _tell(console: Console, error: GitpaasError) -> int:
    try:
        console.err(warning(error.message, error.hint))
    except OSError:
        return _NO_READER
    return error.exit_code


def _unexpected(config: Config | None, error: Exception) -> GitpaasError:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return GitpaasError(f"{error.strerror}: {os.fsdecode(error.filename)}")
    message = f"gitpaas failed with an error of its own: {type(error).__name__}: {error}".splitlines()[0][:300]
    hints = [_keep_details(config, error), upgrade.HINT if config and upgrade.has_come(config) else None]
    return GitpaasError(message, "\n".join(filter(None, hints)) or None)


def _keep_details(config: Config | None, error: Exception) -> str | None:
    if config is None:
        return None
    path = config.run / "errors.log"
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = f"{when}\n{''.join(traceback.format_exception(error))}\n"
    try:
        with open(path, "a", encoding="utf-8", opener=_private) as file:
            if file.tell() > _MOST_DETAILS:
                file.truncate(0)
            file.write(text)
    except OSError:
        return None
    return f"Details in {path}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
