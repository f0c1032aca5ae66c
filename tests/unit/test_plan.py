"""What should run against what does run."""

from __future__ import annotations

from gitpaas.instances.plan import Missing, plan
from gitpaas.values import Instance


def instance(label: str, *, release: int = 2, state: str = "running", at: float = 100.0, **more: object) -> Instance:
    process, number = label.split(".")
    address = f"127.0.0.1:{20000 + int(at)}" if process == "web" else None
    fields = {"address": address, "started_at": at, **more}
    return Instance(f"{label}-{release}-{at}", "hello", release, process, int(number), state, **fields)  # type: ignore[arg-type]


def test_what_runs_as_wanted_is_kept() -> None:
    web, worker = instance("web.1"), instance("worker.1")
    todo = plan(2, {"web": (1,), "worker": (1,)}, [web, worker], {web.address})
    assert (todo.keep, todo.missing, todo.retire) == ((web, worker), (), ())


def test_instances_of_an_older_release_are_retired() -> None:
    old, new = instance("web.1", release=1), instance("web.1", release=2)
    assert plan(2, {"web": (1,)}, [old, new], set()).retire == (old,)


def test_what_exceeds_the_formation_is_retired_highest_numbers_first_to_go() -> None:
    first, second = instance("web.1"), instance("web.2")
    todo = plan(2, {"web": (1,)}, [first, second], {first.address, second.address})
    assert (todo.keep, todo.retire) == ((first,), (second,))


def test_numbers_are_wanted_one_by_one() -> None:
    first, second = instance("web.1"), instance("web.2")
    todo = plan(2, {"web": (2, 3)}, [first, second], {first.address, second.address})
    assert (todo.keep, todo.retire) == ((second,), (first,))
    assert [(m.process, m.number) for m in todo.missing] == [("web", 3)]


def test_a_stopped_app_keeps_nothing() -> None:
    web = instance("web.1")
    assert plan(2, {}, [web], {web.address}).retire == (web,)


def test_of_two_copies_the_routed_one_stays_though_it_is_older() -> None:
    routed, fresh = instance("web.1", at=100), instance("web.1", at=200)
    todo = plan(2, {"web": (1,)}, [routed, fresh], {routed.address})
    assert (todo.keep, todo.retire) == ((routed,), (fresh,))


def test_of_two_workers_the_younger_stays() -> None:
    old, fresh = instance("worker.1", at=100), instance("worker.1", at=200)
    todo = plan(2, {"worker": (1,)}, [old, fresh], set())
    assert (todo.keep, todo.retire) == ((fresh,), (old,))


def test_an_ended_copy_beside_a_running_one_is_cleared_away() -> None:
    ended = instance("web.1", state="exited", at=100, exited_at=101.0)
    fresh = instance("web.1", at=200)
    todo = plan(2, {"web": (1,)}, [ended, fresh], {fresh.address})
    assert (todo.keep, todo.missing, todo.retire) == ((fresh,), (), (ended,))


def test_a_copy_that_never_ran_is_due_at_once() -> None:
    (missing,) = plan(2, {"web": (1,)}, [], set()).missing
    assert (missing.restarts, missing.due) == (0, 0.0)


def test_crashes_in_a_row_wait_longer_each_time_up_to_a_minute() -> None:
    waits = []
    for restarts in range(9):
        last = instance("web.1", state="exited", at=100, exited_at=101.0, restarts=restarts)
        waits.append(Missing("web", 1, last).due - 101.0)
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_crash_after_a_long_quiet_run_counts_as_the_first() -> None:
    last = instance("web.1", state="exited", at=100, exited_at=5000.0, restarts=7)
    missing = Missing("web", 1, last)
    assert (missing.restarts, missing.due) == (1, 5000.0)
