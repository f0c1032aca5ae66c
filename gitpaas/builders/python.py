"""Python apps: uv installs what uv.lock, pyproject.toml or requirements.txt asks for into a layer of the app's cache.

`.venv` in the slug is a link to that layer, and the layer is installed only when one of those files, the
interpreter or an install setting has changed. Two cases cannot be told from files alone and are settled in the slug
itself at each build, out of uv's warm cache: dependencies that lie in the tree (`-e ./lib`, workspaces), and the
project itself when pyproject.toml makes it a package: that one goes, without its dependencies, into `.gitpaas/python`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gitpaas import layers, procfile, shell
from gitpaas.builders import interpreter, programs, python_deps
from gitpaas.builders.interpreter import Interpreter
from gitpaas.builders.python_deps import Dependencies
from gitpaas.builders.python_start import may_start, start_command
from gitpaas.builders.workshop import Built, Workshop, same
from gitpaas.values import Mount

name = "Python"
_NONE = Dependencies("no dependencies")
_CALLED = re.compile(r"(?:^|[\s;&|(])python(?:\s|$)")  # not python3: many systems have that, and few have python


def detect(tree: Path) -> bool:
    """Something declares dependencies, a file is there that a start command can be made of, or a Procfile calls one."""
    return declares(tree) or may_start(tree) or _is_called(tree)


def declares(tree: Path) -> bool:
    return python_deps.read(tree) is not None


def build(shop: Workshop, *, leads: bool) -> Built:
    deps = python_deps.read(shop.tree) or _NONE
    want = interpreter.wanted(shop.tree, deps.requires_python)
    python = interpreter.resolve(shop.config, want, shop.out, shop.left())
    label = f"Python {python.version} ({deps.source})"
    shop.out.step(f"Using {label}" + (f", as {want.origin} asks" if want.spec else ""))
    _clear(shop)
    venv = _Venv(shop, deps, python).install()
    command = start_command(shop.tree, venv.has) if leads else None
    packages = f"{shop.app}/.gitpaas/python"
    return Built(
        label=label,
        processes={"web": command} if command else {},
        path=(f"{shop.app}/.venv/bin", *([f"{packages}/bin"] if deps.packaged else [])),
        env={
            "VIRTUAL_ENV": f"{shop.app}/.venv",
            "PYTHONUNBUFFERED": "1",
            **({"PYTHONPATH": packages} if deps.packaged else {}),
        },
        mounts=venv.mounts,
    )


def _is_called(tree: Path) -> bool:
    return any(_CALLED.search(command) for command in (procfile.read(tree) or {}).values())


def _clear(shop: Workshop) -> None:
    """A virtual environment of the author's own machine does not work here."""
    committed = shop.tree / ".venv"
    if committed.is_dir() and not committed.is_symlink():
        shop.out.warn("The repository has a .venv directory; it is replaced. Add .venv to .gitignore.")
    shell.remove(committed)


@dataclass(frozen=True)
class _Ready:
    path: Path  # of the virtual environment, on the host
    mounts: tuple[Mount, ...]

    def has(self, module: str) -> bool:
        return any(self.path.glob(f"lib/python*/site-packages/{module}"))


@dataclass(frozen=True)
class _Venv:
    shop: Workshop
    deps: Dependencies
    python: Interpreter

    def install(self) -> _Ready:
        ready = self._in_slug() if self.deps.local else self._in_layer()
        if self.deps.packaged and not self.deps.local:
            self._install_project(ready)
        return ready

    def _in_slug(self) -> _Ready:
        shop = self.shop
        shop.out.step(f"Installing dependencies ({self.deps.source}, some from the repository itself)")
        self._fill(f"{shop.app}/.venv", self._shown)
        return _Ready(shop.tree / ".venv", self._prefix)

    def _in_layer(self) -> _Ready:
        shop, cache = self.shop, self.shop.request.cache
        key = layers.key("python", self.python.executable, self.python.version, *self._inputs())
        layer = layers.have(cache, key)
        if self.deps is not _NONE:
            source = self.deps.source
            shop.out.step(
                f"Using cached dependencies ({source} has not changed)"
                if layer
                else f"Installing dependencies ({source})"
            )
        if layer is None:
            lock = shop.config.locks / f"layers-{shop.request.app}"
            layer = layers.install(lock, cache, key, shop.make, self._fill_layer)
        (shop.tree / ".venv").symlink_to(layer)
        return _Ready(layer, (same(layer), *self._prefix))

    def _inputs(self) -> list[bytes | str]:
        """Whatever can change what gets installed: files, the operator's and the user's install settings."""
        env = self.shop.request.env
        settings = [f"{name}={layers.digest(env[name])}" for name in sorted(env) if name.startswith(("UV_", "PIP_"))]
        files = [part for item in sorted(self.deps.inputs.items()) for part in item]
        return [self.deps.source, *settings, *files]

    def _fill_layer(self, layer: Path) -> None:
        self._fill(str(layer), (same(layer, writable=True), *self._shown))

    def _fill(self, venv: str, mounts: tuple[Mount, ...]) -> None:
        run, source = self.shop.run, self.deps.source
        env = {"UV_PROJECT_ENVIRONMENT": venv}
        uv = programs.uv()
        make = [uv, "venv", "--quiet", "--no-project", "--allow-existing", "--python", self.python.executable, venv]
        run("uv venv", make, env=env, mounts=mounts)
        if source == "uv.lock":
            project = [] if self.deps.local else ["--no-install-project"]
            sync = [uv, "sync", "--locked", "--no-default-groups", "--no-editable", *project, "--python"]
            run("uv sync", [*sync, self.python.executable], env=env, mounts=mounts)
        elif source != "no dependencies":
            what = ["."] if self.deps.local and self.deps.packaged else ["-r", source]
            install = [uv, "pip", "install", "--python", f"{venv}/bin/python", *what]
            run("uv pip install", install, env=env, mounts=mounts)

    def _install_project(self, ready: _Ready) -> None:
        self.shop.out.step("Installing the project itself (pyproject.toml has a build system)")
        target = ["--no-deps", "--target", f"{self.shop.app}/.gitpaas/python", "."]
        argv = [programs.uv(), "pip", "install", "--python", f"{ready.path}/bin/python", *target]
        self.shop.run("uv pip install .", argv, mounts=(*self._shown, *ready.mounts))

    @property
    def _prefix(self) -> tuple[Mount, ...]:
        return (same(self.python.prefix),)

    @property
    def _shown(self) -> tuple[Mount, ...]:
        return (same(programs.uv()), *self._prefix)
