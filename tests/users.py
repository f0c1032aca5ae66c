"""User ids that tests run apps and builds as: others in each process that runs tests, since a user sees, and counts
against one limit, all processes of its own."""

from __future__ import annotations

import itertools

import places

PLACE = places.take()
APPS = 200_000 + 10_000 * PLACE  # app_uid_base; servers of tests/e2e have those from 100000
RUNS = 600_000 + 10_000 * PLACE  # of no app: far above what a test machine has
BUILDS = 605_000 + 10_000 * PLACE

_SLOTS = 6  # servers that a process may have at a time: of all places these are the ports from 20000 to 29599
_numbers = itertools.count()
_taken: set[int] = set()


def slot() -> int:
    """A number that no other server of tests has, until it is given back."""
    for number in itertools.islice(_numbers, _SLOTS):
        own = PLACE * _SLOTS + number % _SLOTS
        if own not in _taken:
            _taken.add(own)
            return own
    raise AssertionError(f"this process has {_SLOTS} servers already")


def give_back(slot: int) -> None:
    _taken.discard(slot)
