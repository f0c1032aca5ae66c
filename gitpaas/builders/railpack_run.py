"""Ask Railpack what to do with a tree, as the app's user and in its sandbox: whoever wrote the tree may have hooked
code of his own into mise's configuration, which Railpack has mise read.

Railpack looks for mise at a path that is compiled in, and gives it an environment of its own making. So what stands
there is a script of ours: it knows the way to the network (proxies, certificates), and turns a list of versions that
could not be fetched into the failure it is.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitpaas import procfile, shell
from gitpaas import tree as trees
from gitpaas.builders import railpack_look
from gitpaas.builders.railpack_analysis import Analysis, parse, previous
from gitpaas.builders.railpack_blame import Hiccup, check
from gitpaas.builders.workshop import BASE_PATH, Workshop
from gitpaas.config import CERTIFICATES, PROXIES, Config
from gitpaas.errors import ToolFailed
from gitpaas.toolchain import Toolchain
from gitpaas.values import Env, Mount, revealed

_TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
_PAUSES = (1.0, 4.0)  # seconds before the second and the third attempt
_PATIENCE = 180.0  # seconds of one attempt: it asks hosts far away which versions there are
_ANSWER = "analysis.json"
_ASKED = "/tmp/gitpaas"  # noqa: S108 (inside the sandbox, whose /tmp is its own)
_LONGEST_ANSWER = 16 * 1024 * 1024

# Railpack would tell of each call of mise with its environment, a GITHUB_TOKEN among it.
_KEPT_FROM_RAILPACK = ("RAILPACK_VERBOSE",)

_MISE = """#!/bin/sh
export MISE_HTTP_RETRIES=1 MISE_HTTP_TIMEOUT=20s MISE_FETCH_REMOTE_VERSIONS_TIMEOUT=20s MISE_YES=1
{exports}
said=$(mktemp)
found=$({mise} "$@" 2>"$said")
code=$?
if [ $code = 0 ] && [ -z "$found" ] && grep -q 'cannot be fetched' "$said"; then
  code={later}
  rm -rf "${{MISE_CACHE_DIR:?}}"/*  # the empty list would be believed for an hour
fi
cat "$said" >&2
printf '%s\\n' "$found"
exit $code
"""


def analyse(shop: Workshop, tools: Toolchain) -> Analysis:
    """The plan for the tree. BuildFailed when there can be none, ToolFailed when Railpack or its network fails."""
    for pause in _PAUSES:
        try:
            return _once(shop, tools)
        except Hiccup as error:
            shop.out.detail(f"{error.message}. Trying again in {pause:g} s")
            time.sleep(min(pause, shop.left()))
    return _once(shop, tools)


def secret_names(env: Env) -> list[str]:
    """The variables that steps of the build may see: in their image this machine's certificates are not there."""
    return sorted(env.keys() - {*CERTIFICATES, *_KEPT_FROM_RAILPACK})


@contextmanager
def desk(config: Config, app: str, name: str) -> Iterator[Path]:
    """An empty directory of ours, gone afterwards. What a killed build has left goes first: an app has one at once."""
    path = config.run / f"railpack-{app}.{name}"
    shell.remove(path)
    path.mkdir(mode=0o755)
    try:
        yield path
    finally:
        shell.remove(path)


def _once(shop: Workshop, tools: Toolchain) -> Analysis:
    with _room(shop, tools) as (room, mounts):
        argv = _arguments(shop)
        done = shop.look(argv, env=_environment(shop.request.env), mounts=mounts, timeout=_PATIENCE)
        if done.code == _TRY_LATER:
            raise Hiccup(f"Railpack asks to try again later: {' '.join(done.tail[-1:])}")
        # Written by the app's user: no more than a file of the tree can it be trusted.
        text = trees.read_text(room / "answer", _ANSWER, _LONGEST_ANSWER)
    if text is None:
        raise ToolFailed(f"Railpack exited with {done.code} and no answer: {' '.join(done.tail[-3:])}")
    analysis = parse(text)
    check(analysis, shop.tree)
    return analysis


def _arguments(shop: Workshop) -> list[str]:
    """Values are not among them: anybody may read the arguments of a process. Railpack looks up the names it is
    given in its environment."""
    argv = [f"{_ASKED}/railpack", "info", "--format=json", f"--out={_ASKED}/answer/{_ANSWER}"]
    argv += [f"--env={name}" for name in secret_names(shop.request.env)]
    argv += [f"--previous={name}@{version}" for name, version in previous(shop.request.previous).items()]
    if railpack_look.needs_no_building(shop.tree):
        argv.append("--build-cmd=true")  # else it gives up on a tree that is not of its languages
    if not railpack_look.has_processes(shop.tree):
        argv.append("--error-missing-start")
    return [*argv, shop.app]


def _environment(env: Env) -> dict[str, str]:
    kept = {name: value for name, value in revealed(env).items() if name not in _KEPT_FROM_RAILPACK}
    return kept | {"PATH": BASE_PATH, "HOME": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108


@contextmanager
def _room(shop: Workshop, tools: Toolchain) -> Iterator[tuple[Path, list[Mount]]]:
    """Directories for one attempt, and everything that is shown inside the sandbox."""
    seen_at = tools.seen_at("mise")
    with desk(shop.config, shop.request.app, "analysis") as room:
        home, answer = shop.make(room / "mise"), shop.make(room / "answer")
        cache = shop.make(shop.request.cache / "mise")
        mise = _program(room / seen_at.name, _script(shop.request.env))
        yield (
            room,
            [
                Mount(str(home), str(seen_at.parent), writable=True),
                Mount(str(cache), str(seen_at.parent / "cache"), writable=True),
                Mount(str(mise), str(seen_at)),
                Mount(str(tools.path("mise", shop.out.detail)), f"{_ASKED}/mise"),
                Mount(str(tools.path("railpack", shop.out.detail)), f"{_ASKED}/railpack"),
                Mount(str(answer), f"{_ASKED}/answer", writable=True),
                *_readable_procfile(shop.tree, room),
            ],
        )


def _script(env: Env) -> str:
    """What Railpack takes for mise."""
    known = {name: env[name] for name in (*PROXIES, *CERTIFICATES) if isinstance(env.get(name), str)}
    exports = "\n".join(f"export {name}={shlex.quote(str(value))}" for name, value in known.items())
    return _MISE.format(exports=exports, mise=f"{_ASKED}/mise", later=_TRY_LATER)


def _readable_procfile(tree: Path, room: Path) -> Iterator[Mount]:
    """Railpack reads a Procfile as YAML, which many are not: show it ours, as JSON, which is YAML too. Without
    `release`: it would start that for want of anything else."""
    processes = None if (tree / "Procfile").is_symlink() else procfile.read(tree)
    if processes is None:
        return
    written = room / "Procfile"
    written.write_text(json.dumps({name: command for name, command in processes.items() if name != procfile.RELEASE}))
    yield Mount(str(written), "/app/Procfile")


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path
