"""Which lines of an app's log are wanted."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gitpaas import shell
from gitpaas.errors import CommandFailed, UsageError
from gitpaas.logs.lines import stamp

_COLOURS = re.compile(rb"\x1b\[[0-9;:]*[A-Za-z]")
_MEMORY = 256 * 1024**2  # bytes for grep: an expression of 25 characters can ask for all there is
_PATIENCE = 10.0  # seconds for a part of a log
_FOREVER = 253_402_300_800.0  # the year 10000 in seconds since the epoch: no clock shows it
_NO_MATCH = 1  # grep's exit codes
_BAD = 2


@dataclass(frozen=True)
class Selection:
    """All conditions hold for a line that is wanted; unless told otherwise every line is.

    process: a process type (`web`) or an instance (`web.1`). since, until: seconds since the epoch.
    pattern: an extended regular expression as `grep -E` has it, to be found in the text of the line without its
    colours; one without a capital finds capitals too.
    """

    process: str | None = None
    release: int | None = None
    since: float = 0.0
    until: float = math.inf
    pattern: str | None = None

    def check(self) -> None:
        """UsageError when the pattern is none."""
        if self.pattern is None:
            return
        if "\0" in self.pattern:
            raise UsageError(f"{self.pattern[:80]!r} cannot be looked for: no line has a NUL.")
        _grep(self.pattern, [b""])

    def pick(self, lines: Sequence[bytes]) -> list[bytes]:
        """Those of the lines (as `compose` made them, without their newline) that are wanted, in their order.

        UsageError when looking for the pattern takes too much time or memory."""
        if not self._tests_head and self.pattern is None:
            return list(lines)
        found = [line for line in lines if self._has_head(line)] if self._tests_head else lines
        if self.pattern is None or not found:
            return list(found)
        texts = [_COLOURS.sub(b"", b"".join(line.split(b" ", 3)[3:])) for line in found]
        return [found[number] for number in _grep(self.pattern, texts)]

    @cached_property
    def _tests_head(self) -> bool:
        return self != Selection(pattern=self.pattern)

    def _has_head(self, line: bytes) -> bool:
        moment, source, release = (*line.split(b" ", 3), b"", b"")[:3]
        return (
            self._first <= moment <= self._last
            and (self.process is None or source == self._source or source.startswith(self._source + b"."))
            and (self.release is None or release == self._version)
        )

    @cached_property
    def _source(self) -> bytes:
        return (self.process or "").encode()

    @cached_property
    def _version(self) -> bytes:
        return b"v%d" % (self.release or 0)

    @cached_property
    def _first(self) -> bytes:
        """Times of one length are in order as their texts are."""
        return stamp(max(self.since, 0.0)).encode()

    @cached_property
    def _last(self) -> bytes:
        return stamp(max(self.until, 0.0)).encode() if self.until < _FOREVER else b"\xff"


ALL = Selection()


def _grep(pattern: str, texts: Sequence[bytes]) -> list[int]:
    """The numbers of the texts that match. By a program: its time and memory can be bounded, and Python's own
    expressions take an age for some that are written so on purpose."""
    case = [] if any(character.isupper() for character in pattern) else ["-i"]
    argv = ["grep", "-E", "-a", "-n", *case, "-e", pattern]
    try:
        found = shell.capture(
            argv,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            input=b"".join(text + b"\n" for text in texts),
            timeout=_PATIENCE,
            memory=_MEMORY,
        )
    except CommandFailed as error:
        if error.code == _NO_MATCH:
            return []
        raise _refused(pattern, error) from error
    return [int(line.partition(b":")[0]) - 1 for line in found.split(b"\n")[:-1]]


def _refused(pattern: str, error: CommandFailed) -> UsageError:
    if error.code in (shell.NOT_FOUND, _BAD):
        said = error.tail[-1].removeprefix("grep: ") if error.tail else error.message
    else:  # a limit ended it
        said = "it takes too long"
    hint = "It is an extended regular expression, as `grep -E` has it; a backslash makes a sign stand for itself."
    return UsageError(f"{pattern[:80]!r} cannot be looked for: {said}.", hint)
