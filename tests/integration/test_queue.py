"""The order of deploys: real git, real SQLite, real locks; processes that die are killed for real."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitpaas import apps, platform, store
from gitpaas.builds import queue
from gitpaas.config import Config
from gitpaas.errors import Conflict, Superseded
from gitpaas.git import repository
from gitpaas.git.repository import Move
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.router.caddy import CaddyRouter
from gitpaas.runtimes.host import HostRuntime
from gitpaas.store import App, Build
from gitpaas.values import Actor

ALICE, BOB = Actor("alice", "deploy", "alice"), Actor("bob", "deploy", "bob")
ZERO = "0" * 40
MAIN = "refs/heads/main"


@pytest.fixture
def opened(config: Config) -> Iterator[Platform]:
    platform.prepare(config)
    opened = store.connect(config.database, config.secret_key)
    with opened.session():
        yield Platform(config, opened, HostRuntime(config), CaddyRouter(config.routes))
    opened.close()


@pytest.fixture
def app(opened: Platform) -> App:
    return apps.create(opened, "hello", ALICE)


@pytest.fixture
def commit(opened: Platform, app: App, tmp_path: Path) -> Callable[..., str]:
    """commit(parent=None) -> the id of a new commit in the app's repository, on no branch."""
    path, counter = opened.config.repository("hello"), iter(range(1000))
    tree = repository.git(path, "mktree", stdin=b"").strip()

    def make(parent: str | None = None) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        more = ["-p", parent] if parent else []
        return repository.git(path, *who, "commit-tree", tree, "-m", f"change {next(counter)}", *more).strip()

    return make


def push(old: str, new: str) -> list[Move]:
    return [Move(MAIN, old, new)]


class Deploys:
    """Threads that wait for their turn and note in which order they had it."""

    def __init__(self, opened: Platform) -> None:
        self.opened, self.order, self.superseded = opened, [], []
        self.threads: list[threading.Thread] = []
        self.may_end = threading.Event()

    def start(self, app: App, commit: str, moves: list[Move], actor: Actor = ALICE) -> None:
        queued = threading.Event()
        thread = threading.Thread(target=self._run, args=(queued, app, commit, moves, actor))
        thread.start()
        self.threads.append(thread)
        assert queued.wait(60)

    def _run(self, queued: threading.Event, app: App, commit: str, moves: list[Move], actor: Actor) -> None:
        with self.opened.store.session(), queue.ticket(self.opened, app, commit, moves, actor) as build:
            queued.set()
            try:
                with queue.turn(self.opened, build, Output()):
                    self.order.append(commit)
                    queue.advance(build, "building")
                    self.may_end.wait(60)
                queue.finish(self.opened, build, "live")
            except Superseded:
                self.superseded.append(commit)
                queue.finish(self.opened, build, "superseded")

    def join(self) -> None:
        self.may_end.set()
        for thread in self.threads:
            thread.join(60)


def wait_until(true: Callable[[], bool], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_at_a_time_in_the_order_of_pushes(opened: Platform, app: App, commit: Callable[..., str]) -> None:
    deploys, one, two = Deploys(opened), commit(), commit()
    deploys.start(app, one, push(ZERO, one), ALICE)
    deploys.start(app, two, push(ZERO, two), BOB)
    time.sleep(0.3)
    assert deploys.order == [one]
    deploys.join()
    assert deploys.order == [one, two]


def test_a_newer_push_takes_the_place_of_those_that_wait(
    opened: Platform, app: App, commit: Callable[..., str]
) -> None:
    one = commit()
    two = commit(one)
    three = commit(two)
    deploys = Deploys(opened)
    deploys.start(app, one, push(ZERO, one))
    deploys.start(app, two, push(ZERO, two))
    deploys.start(app, three, push(ZERO, three))
    wait_until(lambda: deploys.superseded == [two])
    deploys.join()
    assert deploys.order == [one, three]


def test_a_push_of_somebody_else_that_lacks_the_waiting_commit_leaves_it_its_place(
    opened: Platform, app: App, commit: Callable[..., str]
) -> None:
    one, two, other = commit(), commit(), commit()
    deploys = Deploys(opened)
    deploys.start(app, one, push(ZERO, one))
    deploys.start(app, two, push(ZERO, two), ALICE)
    deploys.start(app, other, push(ZERO, other), BOB)
    time.sleep(0.3)
    deploys.join()
    assert deploys.order == [one, two, other]


def test_other_apps_need_not_wait_but_the_machine_has_two_places(opened: Platform) -> None:
    deploys = Deploys(opened)
    made = []
    for name in ("one", "two", "three", "four", "five", "six"):
        other = apps.create(opened, name, ALICE)
        path = opened.config.repository(name)
        tree = repository.git(path, "mktree", stdin=b"").strip()
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        made.append(repository.git(path, *who, "commit-tree", tree, "-m", name).strip())
        deploys.start(other, made[-1], push(ZERO, made[-1]))
    wait_until(lambda: len(deploys.order) == 2)
    time.sleep(0.3)
    assert len(deploys.order) == 2
    deploys.join()
    assert set(deploys.order[:2]) == set(made[:2])
    assert deploys.order[2:] == made[2:], "whoever came first has the next place"


def test_a_killed_process_frees_its_place_and_its_build_is_marked(
    opened: Platform, app: App, commit: Callable[..., str]
) -> None:
    # given a build whose process holds its lock and is killed
    dead = Build.create(app=app, commit=commit(), ref=MAIN, previous=ZERO, by="alice")
    lock = opened.config.build_lock(dead.id)
    lock.parent.mkdir(parents=True)
    holder = subprocess.Popen(["flock", str(lock), "sleep", "60"], start_new_session=True)
    wait_until(lambda: queue.is_alive(opened, dead))
    subprocess.run(["pkill", "-KILL", "-g", str(holder.pid)], check=True)
    holder.wait()
    # when the next push comes
    fresh = commit()
    deploys = Deploys(opened)
    deploys.start(app, fresh, push(ZERO, fresh))
    # then it need not wait, and the dead one is told apart
    wait_until(lambda: deploys.order == [fresh])
    queue.bury_dead(opened, app)
    deploys.join()
    assert Build.get_by_id(dead.id).status == "failed"
    assert "killed" in Build.get_by_id(dead.id).error


def test_a_branch_that_moved_elsewhere_is_not_overwritten(
    opened: Platform, app: App, commit: Callable[..., str]
) -> None:
    path = opened.config.repository("hello")
    base = commit()
    mine, theirs = commit(base), commit(base)
    repository.move(path, [Move(MAIN, ZERO, base)])
    with queue.ticket(opened, app, mine, push(base, mine), ALICE) as build:
        queue.check_base(opened, build)
        repository.move(path, [Move(MAIN, base, theirs)])
        with pytest.raises(Conflict, match="has moved"):
            queue.check_base(opened, build)
        queue.finish(opened, build, "failed")


def test_a_force_push_over_what_the_client_saw_is_fine(opened: Platform, app: App, commit: Callable[..., str]) -> None:
    path = opened.config.repository("hello")
    first, rewritten = commit(), commit()
    repository.move(path, [Move(MAIN, ZERO, first)])
    with queue.ticket(opened, app, rewritten, push(first, rewritten), ALICE) as build:
        queue.check_base(opened, build)
        queue.finish(opened, build, "failed")


def test_the_commit_is_held_while_it_builds_and_let_go_after(
    opened: Platform, app: App, commit: Callable[..., str]
) -> None:
    path, one = opened.config.repository("hello"), commit()
    with queue.ticket(opened, app, one, push(ZERO, one), ALICE) as build:
        assert repository.read_ref(path, f"refs/builds/{build.id}") == one
        queue.finish(opened, build, "live")
    assert repository.read_ref(path, f"refs/builds/{build.id}") is None


def test_an_atomic_move_is_all_or_nothing(opened: Platform, app: App, commit: Callable[..., str]) -> None:
    path, one, two = opened.config.repository("hello"), commit(), commit()
    repository.move(path, [Move(MAIN, ZERO, one)])
    with pytest.raises(Conflict):
        repository.move(path, [Move("refs/tags/v1", ZERO, two), Move(MAIN, two, two)])
    assert repository.read_ref(path, "refs/tags/v1") is None
