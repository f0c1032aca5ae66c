"""A new key for all that is sealed. Whoever is killed at any moment of it leaves a database that opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gitpaas import locks
from gitpaas.platform import Platform
from gitpaas.store import ConfigVar, Release, Store

_SEALED = ((ConfigVar, ConfigVar.value), (Release, Release.config))


@dataclass(frozen=True)
class Rekeyed:
    values: int  # config vars
    releases: int
    tidy: bool  # nothing of what the old key opens is left in the database's files


def rekey(platform: Platform) -> Rekeyed:
    """First a key file with both keys, then all rows in one transaction, then only the new key.

    BadConfig, with nothing changed, when something is there that today's key does not open. Servers and builds that
    run meanwhile read the file again when the key that they know does not open a text."""
    store = platform.store
    with locks.held(platform.config.locks / "rekey"), store.session():
        _require_key(store)
        store.seal.add_key()
        with store.lasting_transaction():
            values, releases = (_close_again(store, model, field) for model, field in _SEALED)
        store.seal.drop_old_keys()
        return Rekeyed(values, releases, store.tidy())


def _require_key(store: Store) -> None:
    for model, field in _SEALED:
        for _, text in _rows(model, field):
            store.seal.open(text)


def _close_again(store: Store, model: Any, field: Any) -> int:
    """How many rows there are."""
    rows = _rows(model, field)
    for key, text in rows:
        fresh = store.seal.close(store.seal.open(text))
        model.update({field: fresh}).where(model.id == key).execute()
    return len(rows)


def _rows(model: Any, field: Any) -> list[tuple[int, str]]:
    return list(model.select(model.id, field).tuples())
