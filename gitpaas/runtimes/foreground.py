"""A process of this machine with somebody at its streams: pipes, or a terminal that it has made itself."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from gitpaas import shell
from gitpaas.errors import RuntimeFailed
from gitpaas.output import Terminal

_READY = 30.0  # seconds until the program must run; it takes some 30 ms
_LOOK = 0.2  # seconds between two looks at whether it has ended though its streams stay open
_PIECE = 64 * 1024
_END_OF_INPUT = b"\x04"

Command = Callable[[Sequence[str], Sequence[str]], list[str]]  # a linux.launcher list with these steps first and last


class Foreground:
    """runtimes.Attached."""

    def __init__(self, key: str, process: subprocess.Popen[bytes], master: int | None, end: Callable[[], None]) -> None:
        """`end` kills what the program has left when it ended."""
        self.id = key
        self._process = process
        self._master = master
        self._end = end
        self._using = threading.Lock()
        self._closed = False
        if master is not None:
            self._input: int | None = master
            self._outputs = {master: 1}
        else:
            self._input = _fd(process.stdin)
            self._outputs = {_fd(process.stdout): 1, _fd(process.stderr): 2}
        os.set_blocking(self._input, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def read(self, timeout: float) -> tuple[int, bytes]:
        deadline = time.monotonic() + timeout
        while self._outputs:
            poll = select.poll()
            for fd in self._outputs:
                poll.register(fd, select.POLLIN)
            for fd, _ in poll.poll(1000 * max(0.0, min(_LOOK, deadline - time.monotonic()))):
                if data := _read(fd):
                    return self._outputs[fd], data
                if data is not None:
                    del self._outputs[fd]
            if self._outputs and not self.is_running:
                self._end()
            if self._outputs and time.monotonic() >= deadline:
                raise TimeoutError
        return 1, b""

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            taken, fd = self._write_some(left)
            if not taken:
                _await_room(fd)  # not with the lock: signals must get through
            left = left[taken:]

    def end_input(self) -> None:
        if self._master is not None:
            with suppress(BrokenPipeError):
                self.write(_END_OF_INPUT)
            return
        with self._using:
            self._close_input()

    def resize(self, columns: int, rows: int) -> None:
        with self._using:
            if self._master is not None and not self._closed:
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, number: int) -> None:
        with self._using, suppress(OSError):
            if self._closed or not self.is_running:
                return
            # Its session may have let go of the terminal: then nobody is in front (0, which would be our own group).
            front = os.tcgetpgrp(self._master) if self._master is not None else 0
            os.killpg(front if front > 0 else self._process.pid, signal.Signals(number))

    def wait(self, timeout: float) -> int:
        try:
            return shell.exit_code(self._process.wait(timeout))
        except subprocess.TimeoutExpired:
            raise TimeoutError from None

    def close(self) -> None:
        """Let go of its streams. Once its processes have ended: until then somebody may be writing."""
        self._closed = True
        with self._using:
            self._close_input()
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
            if self._master is not None:
                os.close(self._master)
                self._master = None

    def _write_some(self, data: memoryview) -> tuple[int, int]:
        """How much was taken, and by which descriptor: once the lock is free, another thread may end the input."""
        with self._using:
            if self._closed or self._input is None:
                raise BrokenPipeError
            try:
                return os.write(self._input, data), self._input
            except BlockingIOError:
                return 0, self._input
            except OSError as error:  # EIO: nobody is at the terminal any more
                raise BrokenPipeError from error

    def _close_input(self) -> None:
        self._input = None
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()


@contextmanager
def started(
    key: str, command: Command, env: Mapping[str, str], terminal: Terminal | None, end: Callable[[], None]
) -> Iterator[Foreground]:
    """Run `command`; `end` kills all of it, after the body at the latest. RuntimeFailed when it does not start."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            argv = command(*_steps(theirs.fileno(), terminal))
            process = _run(argv, env, theirs.fileno(), has_terminal=terminal is not None)
        master, reason = _await_start(ours)
    attached = Foreground(key, process, master, end)
    try:
        if reason or (terminal is not None and master is None):
            raise RuntimeFailed(f"It cannot be started: {reason or 'it has made no terminal'}")
        yield attached
    finally:
        end()
        process.kill()  # it may have been on its way into the sandbox
        process.wait()
        attached.close()


def _steps(starter: int, terminal: Terminal | None) -> tuple[Sequence[str], Sequence[str]]:
    """Those of launch that come first and last."""
    first = ("starter", str(starter))
    if terminal is None:
        return first, ()
    return (*first, "console"), ("terminal", str(terminal.columns), str(terminal.rows))


def _run(argv: Sequence[str], env: Mapping[str, str], starter: int, *, has_terminal: bool) -> subprocess.Popen[bytes]:
    stream = subprocess.DEVNULL if has_terminal else subprocess.PIPE
    try:
        return subprocess.Popen(
            argv,
            env=env,
            cwd="/",
            stdin=stream,
            stdout=stream,
            stderr=stream,
            bufsize=0,
            pass_fds=(starter,),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise RuntimeFailed(f"It cannot be started: {error}") from error


def _await_start(channel: socket.socket) -> tuple[int | None, str]:
    """The terminal's other end, if it has made one, and why it does not run: nothing once it does."""
    master, text = None, b""
    channel.settimeout(_READY)
    try:
        while True:
            data, fds, _, _ = socket.recv_fds(channel, 4096, 1)
            if fds:
                master = fds[0]
            if not data:
                return master, text.replace(b"\0", b"").decode("utf-8", "replace").strip()
            text += data
    except TimeoutError:
        return master, f"it did not run within {_READY:.0f} seconds"


def _read(fd: int) -> bytes | None:
    """None when there is nothing after all."""
    try:
        return os.read(fd, _PIECE)
    except BlockingIOError:
        return None
    except OSError:  # EIO: the last one at the terminal has left
        return b""


def _await_room(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll(1000 * _LOOK)


def _fd(stream: object) -> int:
    return int(stream.fileno())  # type: ignore[attr-defined]
