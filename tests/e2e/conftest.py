"""A server that the tests of a worker share, and servers of their own for tests that kill things."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import engine
import pytest

from .world import World

RunWorld = Callable[..., World]
RUNTIMES = ["host", pytest.param("docker", marks=pytest.mark.needs("root", "docker", "buildkit"))]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One running gitpaas. Tests keep to apps of their own in it."""
    with _short_directory() as root, _running_world(root) as made:
        yield made


@pytest.fixture
def own_world(run_world: RunWorld) -> World:
    """A gitpaas for one test alone, which may do anything to it."""
    return run_world()


@pytest.fixture
def run_world(short_directory: Path) -> Iterator[RunWorld]:
    """run_world(**settings) starts a gitpaas for this test alone."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_running_world(short_directory, **settings))


@pytest.fixture(params=RUNTIMES)
def any_world(request: pytest.FixtureRequest, run_world: RunWorld) -> RunWorld:
    """The same as run_world, for a test that is run on each runtime."""
    return partial(run_world, RUNTIME=request.param, **(engine.settings() if request.param == "docker" else {}))


@pytest.fixture
def short_directory() -> Iterator[Path]:
    with _short_directory() as path:
        yield path


@contextmanager
def _running_world(root: Path, **settings: object) -> Iterator[World]:
    made = World(root, **settings)
    try:
        made.start()
        yield made
    finally:
        made.close()


@contextmanager
def _short_directory() -> Iterator[Path]:
    # Short, because the path of a unix socket has at most 107 characters.
    path = Path(tempfile.mkdtemp(prefix="gp-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
