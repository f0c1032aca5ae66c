"""How a repository's post-receive hook is called: its environment and the process, which is the deploy itself."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence

from gitpaas.config import Config
from gitpaas.git.repository import Move
from gitpaas.values import Actor


def environment(
    config: Config,
    app: str,
    actor: Actor,
    *,
    deploys: str | None = None,
    deferred: bool = False,
    atomic: bool = False,
    options: Sequence[str] = (),
    restores: int | None = None,
) -> dict[str, str]:
    """What the hook sees: the settings, who pushes, git's push options (githooks(5)), and nothing else of ours.

    `deploys`: which of the refs does; git:set may choose another one before the hook has begun.
    `deferred`: that one has not moved yet, the deploy moves it; with `atomic` no ref has.
    `restores`: the number of the release that is built again."""
    ours = {name: value for name, value in config.environ.items() if name.startswith("GITPAAS_")}
    passed = {name: config.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in config.environ}
    env = {
        **passed,
        **config.build_environment(),
        **ours,
        "GITPAAS_HOME": str(config.home),
        "GITPAAS_APP": app,
        "GITPAAS_ACTOR": actor.name,
        "GITPAAS_ROLE": actor.role_on(app) or "",
        "GITPAAS_ADDRESS": actor.address,
        "GIT_DIR": str(config.repository(app)),
        "GIT_PUSH_OPTION_COUNT": str(len(options)),
    }
    env |= {f"GIT_PUSH_OPTION_{number}": option for number, option in enumerate(options)}
    if actor.key is not None:
        env["GITPAAS_KEY"] = actor.key
    if deploys is not None:
        env["GITPAAS_DEPLOYS"] = deploys
    if deferred:
        env["GITPAAS_DEFERRED"] = "1"
    if atomic:
        env["GITPAAS_ATOMIC"] = "1"
    if restores is not None:
        env["GITPAAS_RESTORES"] = str(restores)
    return env


def start(config: Config, app: str, moves: Sequence[Move], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Run hooks/post-receive in a session of its own, `old new ref` lines written, output on one pipe.

    It outlives this process: whoever started it may go, or just close the pipe."""
    repository = config.repository(app)
    lines = "".join(f"{move.old} {move.new} {move.ref}\n" for move in moves)
    # A file, not a pipe: a hook that talks before it reads 10,000 lines must not wait for us, nor we for it.
    with tempfile.TemporaryFile() as stdin:
        stdin.write(lines.encode("utf-8", "surrogateescape"))
        stdin.seek(0)
        return subprocess.Popen(
            [str(repository / "hooks" / "post-receive")],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=repository,
            env=env,
            start_new_session=True,
        )
