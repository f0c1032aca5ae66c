"""What is in a tree that nothing understands, and was perhaps meant: a file whose name is almost right, an app that is
not at the top."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_NAMES = ("Dockerfile", "Procfile", "index.html", "package.json", "pyproject.toml", "requirements.txt", "start.sh")
_ALIKE = 0.8  # "Procfile.txt", "requirement.txt"
_MOST = 100  # directories that are looked into
_TOLD = 3


def misnamed(names: Sequence[str]) -> Iterator[str]:
    """A sentence for each of these files that is almost called as it should be."""
    known = {name.lower(): name for name in _NAMES}
    for name in names:
        if near := difflib.get_close_matches(name.lower(), known, n=1, cutoff=_ALIKE):
            right = known[near[0]]
            why = ": capitals count" if name.lower() == right.lower() else ""
            if name != right:
                yield f"Is {name} meant to be {right}{why}?"


def further_down(tree: Path, is_app: Callable[[Path], bool]) -> Iterator[str]:
    """How to say that the app is in a directory, where one or two levels down there are any that look like one."""
    below = [*_directories(tree)]
    below += [inner for outer in below[:_MOST] for inner in _directories(outer)]
    found = [path for path in below[:_MOST] if is_app(path)][:_TOLD]
    for path in found:
        place = path.relative_to(tree)
        yield f"There is an app in {place}. To build that: ssh paas builds:set APP root={place}"


def _directories(tree: Path) -> list[Path]:
    entries = sorted(tree.iterdir())
    return [path for path in entries if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")]
