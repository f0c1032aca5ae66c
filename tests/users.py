"""User ids that tests run apps and builds as: others in each worker of pytest-xdist, since a user sees, and counts
against one limit, all processes of its own."""

from __future__ import annotations

import itertools
import os

WORKER = int(os.environ.get("PYTEST_XDISTWORKER", "gw0").removeprefix("gw"))
APPS = 300_000 + 10_000 * WORKER  # app_uid_base
RUNS = 58_765 + 10_000 * WORKER  # of no app: far above what a test machine has
BUILDS = 61_234 + 10_000 * WORKER

_SLOTS = 12  # servers that a worker may have at a time: with eight workers that are all ports from 20000 to 29599
_numbers = itertools.count()


def slot() -> int:
    """A number that no other server of tests has now. Not by chance: every test begins with the same random seed."""
    return WORKER % 8 * _SLOTS + next(_numbers) % _SLOTS
