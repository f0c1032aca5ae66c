from __future__ import annotations

from collections.abc import Iterator

import pytest
from callers import Caller, quiet_platform

from gitpaas.config import Config


@pytest.fixture
def operator(config: Config) -> Iterator[Caller]:
    """The operator at the machine's own shell, with an empty state directory."""
    platform = quiet_platform(config)
    yield Caller(platform)
    platform.store.close()


@pytest.fixture
def admin(operator: Caller) -> Caller:
    return operator.over_ssh("admin")


@pytest.fixture
def deployer(operator: Caller) -> Caller:
    return operator.over_ssh("deploy")


@pytest.fixture
def reader(operator: Caller) -> Caller:
    return operator.over_ssh("read")
