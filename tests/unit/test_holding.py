"""What was told to stop, and what of an app should run then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitpaas import platform, store
from gitpaas.apps import holding
from gitpaas.config import Config
from gitpaas.errors import Conflict, UsageError
from gitpaas.store import App

FORMATION = {"web": 3, "worker": 2, "clock": 0}


@pytest.fixture
def hello(config: Config) -> Iterator[App]:
    platform.prepare(config)
    opened = store.connect(config.database, config.secret_key)
    with opened.session():
        yield App.create(name="hello", created_by="alice")
    opened.close()


def now(app: App) -> tuple[frozenset[str], dict[str, tuple[int, ...]]]:
    fresh = App.get_by_id(app.id)
    return holding.names(fresh), holding.wanted(fresh, FORMATION)


ALL = {"web": (1, 2, 3), "worker": (1, 2), "clock": ()}


def test_everything_is_wanted_at_first(hello: App) -> None:
    assert now(hello) == (frozenset(), ALL)


def test_a_process_type_and_a_single_instance(hello: App) -> None:
    assert holding.hold(hello, FORMATION, "worker")
    assert holding.hold(hello, FORMATION, "web.2")
    assert now(hello) == ({"worker", "web.2"}, {"web": (1, 3), "worker": (), "clock": ()})
    assert not holding.hold(hello, FORMATION, "web.2")
    assert not holding.hold(hello, FORMATION, "worker.1"), "its whole type is held"
    assert holding.let_go(hello, FORMATION, "web.2")
    assert not holding.let_go(hello, FORMATION, "web.2")
    assert holding.let_go(hello, FORMATION, "worker")
    assert now(hello) == (frozenset(), ALL)


def test_a_type_takes_the_place_of_its_instances(hello: App) -> None:
    holding.hold(hello, FORMATION, "web.2")
    holding.hold(hello, FORMATION, "web.3")
    holding.hold(hello, FORMATION, "worker.1")
    assert holding.hold(hello, FORMATION, "web")
    assert now(hello)[0] == {"web", "worker.1"}


def test_one_of_a_type_that_is_held_starts_alone(hello: App) -> None:
    holding.hold(hello, FORMATION, "web")
    assert holding.let_go(hello, FORMATION, "web.2")
    assert now(hello) == ({"web.1", "web.3"}, {"web": (2,), "worker": (1, 2), "clock": ()})


def test_a_part_of_an_app_that_is_stopped_starts_alone(hello: App) -> None:
    assert holding.hold(hello, FORMATION, None)
    assert not holding.hold(hello, FORMATION, None)
    assert not holding.hold(hello, FORMATION, "web")
    assert now(hello)[1] == {}
    assert holding.let_go(hello, FORMATION, "web.1")
    assert now(hello)[1] == {"web": (1,), "worker": (), "clock": ()}


def test_all_of_it_starts_again(hello: App) -> None:
    holding.hold(hello, FORMATION, "web.1")
    holding.hold(hello, FORMATION, None)
    assert holding.let_go(hello, FORMATION, None)
    assert now(hello) == (frozenset(), ALL)
    assert not holding.let_go(hello, FORMATION, None)


def test_a_type_stays_held_however_it_is_scaled_and_an_instance_while_there_is_one(hello: App) -> None:
    for name in ("worker", "web.1", "web.3"):
        holding.hold(hello, FORMATION, name)
    holding.forget_beyond(hello, {"web": 2, "worker": 0})
    assert now(hello)[0] == {"worker", "web.1"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("clockwork", "It has: clock, web, worker."),
        ("web.4", "There is: web.1 to web.3."),
        ("clock.1", "clock is scaled to 0: ssh paas ps:scale hello clock=1"),
        ("web.0", "For example: web, or web.2"),
    ],
)
def test_what_there_is_not(hello: App, name: str, told: str) -> None:
    for verb in (holding.hold, holding.let_go):
        with pytest.raises(UsageError) as caught:
            verb(hello, FORMATION, name)
        assert caught.value.hint == told


@pytest.mark.parametrize(
    ("held", "name", "told"),
    [
        (None, None, "hello is stopped."),
        (None, "web", "web is stopped."),
        ("web.2", "web.2", "web.2 is stopped."),
        ("web", "web.1", "web.1 is stopped."),
        ("web", "clock", "clock is scaled to 0."),
    ],
)
def test_what_stands_still_cannot_be_restarted(hello: App, held: str | None, name: str | None, told: str) -> None:
    holding.hold(hello, FORMATION, held)
    with pytest.raises(Conflict) as caught:
        holding.require_running(App.get(), FORMATION, name)
    assert caught.value.message == told


@pytest.mark.parametrize("name", [None, "web", "web.1", "worker"])
def test_what_runs_in_part_can_be(hello: App, name: str | None) -> None:
    holding.hold(hello, FORMATION, "web.2")
    holding.require_running(App.get(), FORMATION, name)
