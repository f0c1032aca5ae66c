"""Anything that needs no building: a Procfile whose commands the system can run, or a start.sh."""

from __future__ import annotations

from pathlib import Path

from gitpaas import procfile
from gitpaas import tree as trees
from gitpaas.builders.workshop import Built, Workshop

name = "Procfile"


def detect(tree: Path) -> bool:
    return procfile.says_what_runs(procfile.read(tree) or ()) or trees.has_file(tree, "start.sh")


def build(shop: Workshop, *, leads: bool) -> Built:
    start = start_command(shop.tree)
    label = "Procfile" if trees.has_file(shop.tree, "Procfile") else "start.sh"
    return Built(label=label, processes={"web": start} if start and leads else {})


def start_command(tree: Path) -> str | None:
    """start.sh by its own first line when it is executable, else by sh."""
    if not trees.has_file(tree, "start.sh"):
        return None
    return "./start.sh" if (tree / "start.sh").stat().st_mode & 0o111 else "sh start.sh"
