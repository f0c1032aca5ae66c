"""The hook: the repository's own hooks/post-receive, in a session of its own, so that it outlives client and server."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from gitpaas.config import Config
from gitpaas.ssh.children import Orphans
from gitpaas.ssh.wire import SILENCE
from gitpaas.values import Actor

_BEAT = 1.0  # seconds between two looks whether the client is still there

_PIECE = 32_000
_FAILED = 1


class ClientGone(EOFError):
    """Nobody listens any more; the hook goes on without us."""


def run(
    repository: Path,
    lines: Sequence[str],
    env: Mapping[str, str],
    *,
    tell: Callable[[bytes], None],
    keep_alive: Callable[[], None],
    is_gone: Callable[[], bool],
    orphans: Orphans,
) -> int:
    """Run it to its end with `old new ref` lines on its standard input, handing on what it says as it says it.

    Its exit status; 1 when it cannot start or was killed. ClientGone when there is nobody to tell any more.
    """
    hook = repository / "hooks" / "post-receive"
    try:
        process = _start(hook, repository, lines, env)
    except OSError as error:
        tell(f" !     The server cannot run {hook.name}: {error.strerror}.\n".encode())
        return _FAILED
    try:
        _hand_on(process, tell, keep_alive, is_gone)
    except (OSError, EOFError) as error:
        orphans.adopt(process)
        raise ClientGone from error
    finally:
        cast(IO[bytes], process.stdout).close()
    code = process.wait()
    return code if code >= 0 else _FAILED


def environment(
    config: Config, repository: Path, app: str, actor: Actor, options: Sequence[str], *, atomic: bool
) -> dict[str, str]:
    """What the hook sees: git's own variables, the settings, who pushes, and nothing else of the server's."""
    environ = config.environ
    env = {name: environ[name] for name in ("PATH", "LANG", "HOME") if name in environ}
    env |= {name: value for name, value in environ.items() if name.startswith("GITPAAS_")}
    env |= config.build_environment()
    env |= {
        "GIT_DIR": str(repository),
        "GITPAAS_HOME": str(config.home),
        "GITPAAS_APP": app,
        "GITPAAS_DEFERRED": "1",
        "GITPAAS_ACTOR": actor.name,
        "GITPAAS_KEY": actor.key or "",
        "GITPAAS_ROLE": actor.role,
        "GITPAAS_ADDRESS": actor.address,
        "GIT_PUSH_OPTION_COUNT": str(len(options)),
    }
    env |= {f"GIT_PUSH_OPTION_{number}": option for number, option in enumerate(options)}
    return env | ({"GITPAAS_ATOMIC": "1"} if atomic else {})


def _start(hook: Path, repository: Path, lines: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A file, not a pipe: a hook that talks before it reads 10,000 lines must not wait for us, nor we for it.
    with tempfile.TemporaryFile() as stdin:
        stdin.write("".join(lines).encode())
        stdin.seek(0)
        return subprocess.Popen(
            [str(hook)],
            cwd=repository,
            env=dict(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _hand_on(
    process: subprocess.Popen[bytes],
    tell: Callable[[bytes], None],
    keep_alive: Callable[[], None],
    is_gone: Callable[[], bool],
) -> None:
    stdout, said = cast(IO[bytes], process.stdout), time.monotonic()
    poll = select.poll()
    poll.register(stdout, select.POLLIN)
    while True:
        if poll.poll(_BEAT * 1000):
            data = os.read(stdout.fileno(), _PIECE)
            if not data:
                return
            tell(data)
            said = time.monotonic()
        elif process.poll() is not None:
            return  # it has ended; a child of its own still holds the pipe
        elif is_gone():
            raise EOFError
        elif time.monotonic() - said >= SILENCE:
            keep_alive()
            said = time.monotonic()
