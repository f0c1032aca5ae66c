"""What Railpack will take a tree for, told from file names alone: the first of its providers that claims it.

Railpack itself decides at the build (it also reads railpack.json and RAILPACK_ config vars). Here nothing is run, so
that it costs nothing and can be said before anything happens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from gitpaas import procfile
from gitpaas import tree as trees
from gitpaas.builders import slug
from gitpaas.errors import BuildFailed

CONFIG_FILE = "railpack.json"


class Provider(NamedTuple):
    """`package`: the one whose version tells the most, as mise calls it. `signs`: file names, or patterns of them."""

    name: str
    label: str
    package: str
    signs: tuple[str, ...]


# In Railpack's order (core/providers/provider.go), with what each one's Detect looks for.
PROVIDERS = (
    Provider("php", "PHP", "php", ("index.php", "composer.json")),
    Provider("golang", "Go", "go", ("go.mod", "go.work", "main.go")),
    Provider("java", "Java", "java", ("pom.*", "gradlew")),
    Provider("rust", "Rust", "rust", ("Cargo.toml",)),
    Provider("ruby", "Ruby", "ruby", ("Gemfile",)),
    Provider("elixir", "Elixir", "elixir", ("mix.exs",)),
    Provider(
        "python",
        "Python",
        "python",
        (
            *("main.py", "app.py", "start.py", "bot.py", "hello.py", "server.py"),
            *("requirements.txt", "pyproject.toml", "Pipfile"),
        ),
    ),
    Provider("deno", "Deno", "deno", ("deno.json", "deno.jsonc")),
    Provider("dotnet", ".NET", "dotnet", ("*.csproj",)),
    Provider("node", "Node", "node", ("package.json",)),
    Provider("gleam", "Gleam", "gleam", ("gleam.toml",)),
    Provider("cpp", "C++", "", ("CMakeLists.txt", "meson.build")),
    Provider("staticfile", "Static", "", ("Staticfile", "public", "index.html")),
    Provider("shell", "Shell", "", ("start.sh",)),
)
_BY_NAME = {provider.name: provider for provider in PROVIDERS}
_SET = re.compile(r'"provider"\s*:\s*"(\w+)"')
_ADD = (
    "Add one of: a Dockerfile, a Procfile (web: ./run), start.sh, railpack.json, or what a language goes by: "
    "requirements.txt, pyproject.toml, main.py, package.json, deno.json, go.mod, Gemfile, Cargo.toml, composer.json, "
    "index.php, pom.xml, gradlew, *.csproj, mix.exs, gleam.toml, CMakeLists.txt, meson.build, index.html or public/. "
    "They are looked for at the top of the repository; another directory is named with builds:set APP root=DIRECTORY."
)


def look(tree: Path) -> str | None:
    """What to call the app: "Python", "Go", "Procfile"; None when Railpack would not know it either."""
    config = trees.read_text(tree, CONFIG_FILE)
    if config is not None and (chosen := _SET.search(config)) and chosen[1] in _BY_NAME:
        return _BY_NAME[chosen[1]].label
    if found := provider(tree):
        return found.label
    if config is not None:
        return CONFIG_FILE
    return "Procfile" if has_processes(tree) else None


def provider(tree: Path) -> Provider | None:
    names = [entry.name for entry in tree.iterdir()]
    return next((one for one in PROVIDERS if _claims(one.signs, names)), None)


def label(name: str) -> str:
    """ "golang" -> "Go". Railpack names no provider for a tree that only its configuration explains."""
    return _BY_NAME[name].label if name in _BY_NAME else name.capitalize()


def package(name: str) -> str:
    """The package whose version goes beside a provider's name; "" when none does."""
    return _BY_NAME[name].package if name in _BY_NAME else ""


def needs_no_building(tree: Path) -> bool:
    """A Procfile, and nothing that Railpack knows: the tree itself, as it stands, is the app."""
    return has_processes(tree) and provider(tree) is None and not trees.has_file(tree, CONFIG_FILE)


def has_processes(tree: Path) -> bool:
    """Whether a Procfile says what runs: release alone runs once."""
    return procfile.says_what_runs(procfile.read(tree) or ())


def nothing_found(tree: Path) -> BuildFailed:
    """What was looked for, and what is there instead."""
    return slug.nothing_found(tree, _ADD, _is_app)


def _is_app(tree: Path) -> bool:
    return trees.has_file(tree, "Dockerfile") or provider(tree) is not None or slug.is_app(tree)


def _claims(signs: Sequence[str], names: Sequence[str]) -> bool:
    return any(fnmatchcase(name, sign) for sign in signs for name in names)
