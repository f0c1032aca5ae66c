"""The keeper: a shell beside each instance that waits for its end and writes down how it ended.

It belongs to nobody: whoever started it may exit or be killed. It holds the lock of the instance's record and
nothing else, neither the instance's log nor its memory limit, and costs less than a megabyte.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitpaas.errors import RuntimeFailed

_READY = 30.0  # seconds until the program must run; it takes some 30 ms

# $1 is the record, $2 is where the exit code goes, the rest is the instance. Standard input is a pipe to the
# starter; a shell gives background commands /dev/null there instead, hence the detour over 3. The signals it
# ignores are for the keeper: launch sets all of them back for the instance.
_SCRIPT = """
exec 3<&0 </dev/null
trap '' HUP INT QUIT TERM
record=$1 exit=$2
shift 2
{
  "$@" <&3 3<&- &
  exec 3<&- >/dev/null 2>&1
  wait $!
  code=$?
  if [ -e "$record" ]; then echo $code >"$exit"; fi
} &
"""


def start(argv: Sequence[str], env: Mapping[str, str], log: int, lock: int, record: Path, exit_file: Path) -> None:
    """Start `argv` (a linux.launcher list with the step `ready`) and its keeper; back when the program runs.

    RuntimeFailed with the reason when it does not. `log` and `lock` are file descriptors, the caller's to close.
    """
    news, pipe = os.pipe()
    try:
        _run_shell([str(record), str(exit_file), *argv], env, pipe, log, lock)
    finally:
        os.close(pipe)
    try:
        reason = _read_to_end(news)
    finally:
        os.close(news)
    if reason:
        raise RuntimeFailed(f"An instance cannot be started: {reason}")


def _run_shell(arguments: Sequence[str], env: Mapping[str, str], pipe: int, log: int, lock: int) -> None:
    try:
        # The shell leaves at once: the keeper is a child of its own, and init's after that, not ours to reap.
        subprocess.run(
            ["/bin/sh", "-c", _SCRIPT, "keeper", *arguments],
            env=env,
            cwd="/",
            stdin=pipe,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            start_new_session=True,
            check=True,
        )
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise RuntimeFailed(f"An instance cannot be started: {error}") from error


def _read_to_end(news: int) -> str:
    """Nothing, once the program runs: its exec closes the other end."""
    text = b""
    poll = select.poll()
    poll.register(news, select.POLLIN)
    while poll.poll(_READY * 1000):
        if not (data := os.read(news, 4096)):
            return text.decode("utf-8", "replace").strip()
        text += data
    return f"it did not run within {_READY:.0f} seconds"
