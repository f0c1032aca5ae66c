"""Run other programs: argument lists only, always in a session of their own, and never left behind."""

from __future__ import annotations

import codecs
import math
import os
import resource
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from gitpaas.errors import CommandFailed

TIMED_OUT = 124  # as coreutils' timeout says it
NOT_FOUND = 127  # as the shell says it
_TAIL = 20
_PARTIAL = 0.2  # seconds until a line without its end (a prompt, a progress bar) is shown all the same
_LONGEST = 64 * 1024
_MOST = 4 * 1024 * 1024  # characters handed on of one program: they go to a disk and to people
_DRAIN = 1.0  # seconds that what is left in the pipe gets after the program has ended


@dataclass(frozen=True)
class Finished:
    """How a program ended: its exit code (128 + n for signal n) and the last lines it wrote."""

    code: int
    tail: tuple[str, ...]


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    input: bytes | None = None,  # noqa: A002 (subprocess calls it so)
) -> Finished:
    """Run to the end. Output and errors go to `on_line` as one stream, live, each line without its newline.

    A line that stays unfinished is handed on after a moment; its rest follows as a line of its own. Carriage
    returns inside a line are kept. When a program says more than anybody would read, only its last lines follow, at
    its end. Nothing of its process group is left running.
    CommandFailed only when it cannot start (code 127) or takes longer than `timeout` (code 124).
    """
    lines = Lines(on_line)
    with _started(argv, env=env, cwd=cwd, piped=input is not None, stderr=subprocess.STDOUT) as process:
        stdout = cast(IO[bytes], process.stdout)
        _feed(process.stdin, input)
        in_time = _pump(process, stdout, lines, time.monotonic() + timeout)
        _kill_group(process)
        _read_rest(stdout, lines)
        lines.finish()
    if not in_time:
        raise _timed_out(argv, timeout, lines.tail())
    return Finished(exit_code(process.returncode), lines.tail())


def capture(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60,
    input: bytes | None = None,  # noqa: A002 (subprocess calls it so)
    memory: int | None = None,
) -> bytes:
    """What the program writes to its standard output. CommandFailed, with the end of stderr, unless it exits 0.

    With `memory` (bytes) it gets no more, and no more processor time than `timeout`."""
    with _started(argv, env=env, cwd=cwd, piped=input is not None, stderr=subprocess.PIPE) as process:
        if memory is not None:
            limit(process, memory, math.ceil(timeout))
        try:
            output, errors = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            raise _timed_out(argv, timeout, ()) from None
    if process.returncode:
        code = exit_code(process.returncode)
        tail = tuple(errors.decode("utf-8", "replace").splitlines()[-_TAIL:])
        said = f": {tail[-1]}" if tail else ""
        raise CommandFailed(f"{_name(argv)} exited with {code}{said}", code=code, tail=tail)
    return output


def limit(process: subprocess.Popen[bytes], memory: int, seconds: int) -> None:
    """Bound the memory (bytes) and processor time of a child before it gets its first byte; from outside, which is
    quick. Only Linux can."""
    if not hasattr(resource, "prlimit"):
        return
    with suppress(ProcessLookupError):
        for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
            resource.prlimit(process.pid, kind, (most, most))


def remove(path: Path) -> bool:
    """Remove a directory and whatever somebody else has put into it: no link is followed, no depth is too deep, while
    shutil.rmtree ends in a RecursionError where app code has made a thousand levels. Whether it is gone."""
    if os.path.lexists(path):
        with suppress(OSError):
            subprocess.run(["rm", "-rf", "--", path], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return not os.path.lexists(path)


def exit_code(returncode: int) -> int:
    """subprocess's -9 as the shell's 137."""
    return 128 - returncode if returncode < 0 else returncode


@contextmanager
def _started(
    argv: Sequence[str], *, env: Mapping[str, str] | None, cwd: Path | None, piped: bool, stderr: int
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"{_name(argv)} cannot be started: {error.strerror}", code=NOT_FOUND) from error
    try:
        yield process
    finally:
        _kill_group(process)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # PermissionError: a group of which only zombies are left, on BSD kernels.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _feed(stdin: IO[bytes] | None, data: bytes | None) -> None:
    """Write in a thread of its own: a program that talks before it listens must not block us."""
    if stdin is None or data is None:
        return

    def write() -> None:
        with suppress(OSError, ValueError):
            stdin.write(data)
            stdin.close()

    threading.Thread(target=write, daemon=True).start()


def _pump(process: subprocess.Popen[bytes], stdout: IO[bytes], lines: Lines, deadline: float) -> bool:
    """Hand output on until the program has ended. Whether it did so before the deadline."""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(min(_PARTIAL, left)):
                lines.flush()
                if process.poll() is not None:  # ended, but a background child of it still holds the pipe
                    break
            elif not lines.feed(_read(stdout)):
                break
    try:
        process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _read(stdout: IO[bytes]) -> bytes:
    return os.read(stdout.fileno(), 65536)


def _read_rest(stdout: IO[bytes], lines: Lines) -> None:
    """What is still in the pipe, without waiting for ever on a child that left the group and holds it open."""
    deadline = time.monotonic() + _DRAIN
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left) or not lines.feed(_read(stdout)):
                break
    lines.flush()


class Lines:
    """Bytes in, lines out, the last of them remembered. What is more than anybody would read is left out."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._left = _MOST
        self._unseen = 0

    def feed(self, data: bytes) -> bool:
        """Take a piece; False for the empty one, the end."""
        *whole, self._partial = (self._partial + self._decoder.decode(data)).split("\n")
        for line in whole:
            self._emit(line.removesuffix("\r"))
        if len(self._partial) > _LONGEST:
            self.flush()
        return bool(data)

    def flush(self) -> None:
        if self._partial:
            partial, self._partial = self._partial, ""
            self._emit(partial)

    def finish(self) -> None:
        """Hand on the end of what was too much."""
        if self._unseen and self._on_line is not None:
            last = self.tail()[-self._unseen :]
            self._on_line(f"... {self._unseen - len(last)} lines left out ...")
            for line in last:
                self._on_line(line)

    def tail(self) -> tuple[str, ...]:
        return tuple(self._tail)

    def _emit(self, line: str) -> None:
        self._tail.append(line)
        self._left -= len(line) + 1
        if self._left < 0:
            self._unseen += 1
        elif self._on_line is not None:
            self._on_line(line)


def _timed_out(argv: Sequence[str], timeout: float, tail: tuple[str, ...]) -> CommandFailed:
    return CommandFailed(f"{_name(argv)} took longer than {timeout:g} seconds", code=TIMED_OUT, tail=tail)


def _name(argv: Sequence[str]) -> str:
    return Path(argv[0]).name
