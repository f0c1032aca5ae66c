"""A server that the tests of a worker share, and servers of their own for tests that kill things."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .world import World

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One running gitpaas. Tests keep to apps of their own in it."""
    with _running_world() as made:
        yield made


@pytest.fixture
def own_world() -> Iterator[World]:
    """A gitpaas for one test alone, which may do anything to it."""
    with _running_world() as made:
        yield made


@contextmanager
def _running_world() -> Iterator[World]:
    # Short, because a unix socket's path has at most 107 characters.
    root = Path(tempfile.mkdtemp(prefix="gp-", dir="/tmp"))
    made = World(root)
    try:
        made.start()
        yield made
    finally:
        made.close()
        shutil.rmtree(root, ignore_errors=True)
