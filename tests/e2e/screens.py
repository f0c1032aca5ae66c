"""A terminal with somebody at it: a program on a pty whose size the test can change."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress


class Screen:
    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, text: str, seconds: float = 120) -> str:
        """Until this has been shown since the last wait; all that was."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} on the screen:\n{self.text}"
            if not self._look(0.2):
                assert text in self.text, f"it ended without {text!r}:\n{self.text}"
        seen, self.text = self.text, self.text.partition(text)[2]
        return seen

    def end(self, seconds: float = 200) -> int:
        """Its exit code, when it ends by itself."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
            self._look(0.2)
        while self._look(0.1):
            pass
        return self.process.returncode

    def kill(self) -> None:
        """As when the machine of the client is unplugged, nearly."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _look(self, seconds: float) -> bool:
        """False when nobody is at the other end any more and all that was said is read."""
        has_ended = self.process.poll() is not None  # before the look: what ends meanwhile may have said something
        poll = select.poll()  # select() ends at 1,024 open files
        poll.register(self._master, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return not has_ended
        with suppress(OSError):
            if data := os.read(self._master, 65536):
                self.text += data.decode("utf-8", "replace")
                return True
        return False


@contextmanager
def screen(argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str], columns: int, rows: int) -> Iterator[Screen]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        argv,
        env={**env, "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(slave)
    try:
        yield Screen(process, master)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
