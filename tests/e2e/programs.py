"""Programs run as the user types them: to their end, or in the background; and looking at what runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """What a program said and how it ended. `output` has both streams as they came when they were merged."""

    code: int
    output: str
    errors: str = ""


class Background:
    """A program of the user's under way, in a process group of its own as in a terminal; both streams in a file."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], file: Path, cwd: Path | None) -> None:
        self._file = file
        with file.open("wb") as out:
            self.process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._file.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Until it has printed the text; it must not end before."""

        def is_there() -> bool:
            ended, said = self.process.poll() is not None, self.output
            assert text in said or not ended, f"it ended without {text!r}:\n{said}"
            return text in said

        wait_until(is_there, f"{text!r} in the output", seconds)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to the whole group, git and its ssh."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def end(self, timeout: float = 120) -> Result:
        return Result(self.process.wait(timeout=timeout), self.output)

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        self.process.wait(timeout=60)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: str = "",
    check: bool = False,
    merge: bool = False,
    timeout: float = 120,
) -> Result:
    done = subprocess.run(
        argv,
        env=env,
        cwd=cwd,
        input=stdin.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        timeout=timeout,
        check=False,
    )
    result = Result(
        done.returncode, done.stdout.decode(errors="replace"), (done.stderr or b"").decode(errors="replace")
    )
    assert result.code == 0 or not check, f"{argv}: {result}"
    return result


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)
