"""Node apps: `npm ci` with a lock file, else `npm install`; then the `build` script.

What npm installed is kept by the hash of the lock file, package.json's dependencies and Node's version, and copied
back into the slug as a real directory: tools write into node_modules, and a link or a shared file would let one
build change another's. The root project's own install scripts run each time, since they may read the source.
With a `build` script devDependencies are installed too, and stay.

The web process: the `start` script, else what `main` names, else server.js, index.js or app.js; with a `build`
script and none of these, the built site is served as static files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitpaas import layers
from gitpaas import tree as trees
from gitpaas.builders import node_runtime, static
from gitpaas.builders.node_runtime import Node
from gitpaas.builders.workshop import Built, Workshop, same
from gitpaas.errors import BuildFailed
from gitpaas.values import Mount

name = "Node"
_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
_FOREIGN_LOCKS = ("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
_PROGRAMS = ("server.js", "index.js", "app.js", "server.mjs", "index.mjs", "main.js")
# What of package.json decides about node_modules.
_DEPENDENCIES = (
    "dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta",
    "bundleDependencies", "bundledDependencies", "overrides", "workspaces", "engines",
)  # fmt: skip
# Run by npm after an installation, in this order: https://docs.npmjs.com/cli/using-npm/scripts
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare")
_PLAIN_NODE = re.compile(r"node(?: [\w./=@:-]+)+")


@dataclass(frozen=True)
class Package:
    """The parts of package.json that we use."""

    scripts: Mapping[str, str]
    main: str | None
    node: str  # a range; "" for any
    dependencies: Mapping[str, Any]  # as they stand: what makes the layer's key

    @property
    def empty(self) -> bool:
        return not any(self.dependencies.get(name) for name in _DEPENDENCIES if name != "engines")


def detect(tree: Path) -> bool:
    return trees.has_file(tree, "package.json")


def read(tree: Path) -> Package:
    """package.json. BuildFailed says what is off."""
    try:
        document = json.loads(trees.read_text(tree, "package.json") or "")
    except (ValueError, RecursionError) as error:
        raise _wrong(f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _wrong("it is not an object")
    engines, scripts, main = (document.get(key) for key in ("engines", "scripts", "main"))
    node = engines.get("node", "") if isinstance(engines, dict) else ""
    if not isinstance(node, str) or not node_runtime.is_range(node):
        raise _wrong(f"engines.node is {json.dumps(node)[:60]}, not a version range such as 22.x")
    return Package(
        scripts={k: v for k, v in scripts.items() if isinstance(v, str)} if isinstance(scripts, dict) else {},
        main=main if isinstance(main, str) else None,
        node=node.strip(),
        dependencies={key: document[key] for key in _DEPENDENCIES if key in document},
    )


def build(shop: Workshop, *, leads: bool) -> Built:
    package = read(shop.tree)
    wanted, origin = _wanted(shop.tree, package)
    node = node_runtime.resolve(shop.config, wanted, origin, shop.out, shop.left())
    lock = next((lock for lock in _LOCKS if trees.has_file(shop.tree, lock)), None)
    label = f"Node {node.version} ({lock or 'package.json'})"
    shop.out.step(f"Using {label}" + (f", as {origin} asks" if wanted else ""))
    start = start_command(shop.tree, package) if leads else None
    npm = _Npm(shop, package, node, lock)
    npm.install()
    if "build" in package.scripts:
        shop.out.step("Running the build script")
        npm.script("build")
    path = (f"{shop.app}/node_modules/.bin", node.bin)
    if leads and start is None and (root := static.site_root(shop.tree)) and "build" in package.scripts:
        return static.serve(shop, root, f"{label}, static site", one_page=True)
    return Built(
        label=label,
        processes={"web": start} if start else {},
        path=path,
        env={"NODE_ENV": "production"},
        mounts=(same(node.prefix),),
    )


def start_command(tree: Path, package: Package) -> str | None:
    if start := package.scripts.get("start"):
        # npm would stay in memory beside a plain `node server.js` and only pass signals on.
        plain = _PLAIN_NODE.fullmatch(start) and not {"prestart", "poststart"} & package.scripts.keys()
        return start if plain else "npm start"
    main = [package.main] if package.main and re.fullmatch(r"[\w./-]+", package.main) else []
    return next((f"node {program}" for program in (*main, *_PROGRAMS) if trees.has_file(tree, program)), None)


def _wanted(tree: Path, package: Package) -> tuple[str, str]:
    """engines.node, else the version file that Node's version managers read."""
    if package.node:
        return package.node, "engines.node in package.json"
    for file in (".node-version", ".nvmrc"):
        text = (trees.read_text(tree, file) or "").strip()
        if re.fullmatch(r"v?\d+(\.\d+){0,2}", text):
            return text, file
    return "", "package.json"


@dataclass(frozen=True)
class _Npm:
    shop: Workshop
    package: Package
    node: Node
    lock: str | None

    def install(self) -> None:
        """node_modules, from the cache when nothing that decides about it has changed."""
        self._say_what_is_ignored()
        if self.package.empty and not self.lock:
            self._install_scripts()
            return
        shop, cache = self.shop, self.shop.request.cache
        if self._has_local_packages():
            self._install_now()
            return
        key = self._key()
        if layer := layers.have(cache, key):
            shop.out.step(f"Using cached node_modules ({self.lock or 'package.json'} has not changed)")
            self._copy(f"{layer}/node_modules", ".", same(layer))
            self._install_scripts()
            return
        self._install_now()
        if (shop.tree / "node_modules").is_dir():
            lock = shop.config.locks / f"layers-{shop.request.app}"
            layers.install(lock, cache, key, shop.make, self._save)

    def script(self, name: str) -> None:
        self._run(f"npm run {name}", ["npm", "run", name])

    def _install_now(self) -> None:
        """Exactly what the lock file says, or the newest that package.json allows."""
        dev = ["--include=dev"] if "build" in self.package.scripts else ["--omit=dev"]
        command = "ci" if self.lock else "install"
        self.shop.out.step(f"Installing dependencies (npm {command})")
        self._run(f"npm {command}", ["npm", command, *dev])

    def _install_scripts(self) -> None:
        for name in _INSTALL_SCRIPTS:
            if name in self.package.scripts:
                self.script(name)

    def _save(self, layer: Path) -> None:
        self._copy("node_modules", str(layer), same(layer, writable=True))

    def _copy(self, source: str, target: str, layer: Mount) -> None:
        """By the app's own user: nobody else walks a tree that the app's code has made."""
        self.shop.run("copying node_modules", ["cp", "-RPp", source, target], mounts=(layer,))

    def _run(self, step: str, argv: list[str]) -> None:
        path = (f"{self.shop.app}/node_modules/.bin", self.node.bin)
        self.shop.run(step, argv, path=path, mounts=(same(self.node.prefix),))

    def _key(self) -> str:
        tree, env = self.shop.tree, self.shop.request.env
        files = [trees.read_bytes(tree, name) or b"" for name in (self.lock or "", ".npmrc") if name]
        settings = [
            f"{name}={layers.digest(env[name])}"
            for name in sorted(env)
            if name.lower().startswith("npm_config_") or name in ("NODE_ENV", "NPM_TOKEN")
        ]
        document = json.dumps(self.package.dependencies, sort_keys=True)
        dev = "dev" if "build" in self.package.scripts else "production"
        return layers.key("node", self.node.version, self.node.prefix, dev, document, *settings, *files)

    def _has_local_packages(self) -> bool:
        """Workspaces and file: dependencies: then the tree's own source is part of node_modules."""
        if self.package.dependencies.get("workspaces"):
            return True
        return bool(re.search(r'"(file|link|workspace):', json.dumps(self.package.dependencies)))

    def _say_what_is_ignored(self) -> None:
        if (self.shop.tree / "node_modules").exists():
            self.shop.out.warn("The repository has node_modules in it; add node_modules to .gitignore.")
        if self.lock or self.package.empty:
            return
        foreign = next((lock for lock in _FOREIGN_LOCKS if trees.has_file(self.shop.tree, lock)), None)
        if foreign:
            self.shop.out.warn(f"{foreign} is not read: npm installs what package.json asks for.")
        else:
            self.shop.out.warn("No package-lock.json: versions may change. Run `npm install` and commit it.")


def _wrong(what: str) -> BuildFailed:
    return BuildFailed(f"package.json: {what}", step="package.json", hint="Mend it, commit, and push again.")
