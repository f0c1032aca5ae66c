"""The input of a program with somebody at its streams, which one thread fills and another may end."""

from __future__ import annotations

import subprocess
import threading

import pytest

from gitpaas.runtimes.foreground import Foreground


class Interrupted(Foreground):
    """Another thread ends the input in the very moment in which somebody looks, without the lock, where it goes."""

    is_interrupted = False
    _fd: int | None = None

    @property
    def _input(self) -> int | None:
        fd = self._fd
        if self.is_interrupted and not self._using.locked():
            self._fd = None
        return fd

    @_input.setter
    def _input(self, fd: int | None) -> None:
        self._fd = fd


@pytest.mark.parametrize("kind", [Foreground, Interrupted])
def test_who_waits_for_room_is_told_when_another_thread_ends_the_input(kind: type[Foreground]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(["sleep", "600"], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        attached = kind("run", process, None, process.kill)
        attached.is_interrupted = True  # type: ignore[attr-defined]
        ending = threading.Timer(0.3, attached.end_input)
        ending.start()
        try:
            with pytest.raises(BrokenPipeError):
                attached.write(bytes(1024 * 1024))  # more than a pipe holds
        finally:
            ending.join()
            process.kill()
            attached.close()
