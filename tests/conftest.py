"""What every test may lean on: a state directory of its own, and tools that are there or honestly missing."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import engine
import instances
import places
import ports
import pytest
import users

from gitpaas.config import Config, load


def pytest_configure(config: pytest.Config) -> None:
    # A shell without job control begins what goes to the background deaf to Ctrl-C, and what we begin inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        places.give_back()  # only the workers of pytest-xdist run tests, each in a place of its own


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for tool in mark.args:
            require(tool)


def require(tool: str) -> None:
    """Skip when `tool` is missing, or fail when GITPAAS_TESTS_REQUIRE (a comma list) names it."""
    if _present(tool):
        return
    wanted = os.environ.get("GITPAAS_TESTS_REQUIRE", "").split(",")
    hint = "; scripts/test-engine readies it" if tool in ("docker", "buildkit", "railpack") else ""
    (pytest.fail if tool in wanted else pytest.skip)(f"needs {tool}, which this machine does not have{hint}")


def _present(tool: str) -> bool:
    special = {
        "root": lambda: os.geteuid() == 0,
        "sandbox": _has_sandbox,
        "docker": engine.has_docker,
        "buildkit": engine.has_buildkit,
        "railpack": engine.has_railpack,
    }
    return special[tool]() if tool in special else shutil.which(tool) is not None


def _has_sandbox() -> bool:
    from gitpaas import linux

    return linux.can_confine()


@pytest.fixture(autouse=True)
def _nobody_watches_floods() -> Iterator[None]:
    """A thread of one test's may meet what another has put in the place of os.stat or the clock."""
    yield
    instances.until(lambda: not instances.flood_watchers())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings of a fresh state directory, ports chosen by nobody yet."""
    environ = {"GITPAAS_HOME": str(tmp_path / "home"), "GITPAAS_RUNTIME": "host", "PATH": os.environ["PATH"]}
    environ["GITPAAS_APP_UID_BASE"] = str(users.APPS)
    environ["GITPAAS_APP_PORTS"] = "{}-{}".format(*ports.APPS)
    environ |= {name: value for name, value in os.environ.items() if name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")}
    return load(environ)
