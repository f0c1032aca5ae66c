"""ps: what it tells of each instance."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from callers import Caller

from gitpaas.commands import instances
from gitpaas.commands.instances import Shown
from gitpaas.instances.gauge import Gauge, Load
from gitpaas.store import App
from gitpaas.values import Exit, Instance, Usage

MB = 1024 * 1024


def instance(process: str = "web", number: int = 1, **more: Any) -> Instance:
    fields: dict[str, Any] = {"release": 3, "state": "running", "address": None, "started_at": time.time() - 200}
    key = f"hello-{process}-{number}-{more.get('release', 3)}"
    return Instance(id=key, app="hello", process=process, number=number, **(fields | more))


@pytest.fixture
def hello(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """v3 of it is live, with two web instances and a worker."""
    operator("apps:create", "hello")
    with operator.platform.store.session():
        App.update(release=3).execute()
    monkeypatch.setattr("gitpaas.releases.formation", lambda *_: {"web": 2, "worker": 1})
    return operator.narrow(80)


def routed(hello: Caller, *addresses: str) -> None:
    hello.platform.router.point(hello.platform.config.host("hello"), addresses)


def test_before_the_first_push(operator: Caller) -> None:
    operator("apps:create", "hello")

    assert operator("ps", "hello").out == "hello: no release yet\n"
    assert operator("ps", "hello", "--format", "json").json == {
        "app": "hello",
        "formation": {},
        "stopped": False,
        "held": [],
        "instances": [],
        "absent": [],
        "one_offs": [],
    }


def test_all_of_it_fits_a_terminal(hello: Caller) -> None:
    routed(hello, "10.213.0.2:20001")
    hello.platform.runtime.instances += [
        instance(address="10.213.0.2:20001", last_exit=Exit(137, True, 5.0), restarts=12),
        instance("worker", state="exited", exit_code=137, exited_at=time.time() - 5, restarts=1),
    ]
    hello.platform.runtime.usages = [Usage(1500 * MB, 100.1, 100.0)]

    shown = hello("ps", "hello").out

    assert shown == (
        "hello: web=2 worker=1\n"
        "NAME      STATE    REL  UP  RESTARTS  LAST EXIT  MEM   CPU  ADDRESS\n"
        "web.1     running  v3   3m  12        no memory  1.5G  50%  10.213.0.2:20001\n"
        "worker.1  crashed  v3   -   1         SIGKILL    -     -    -\n"
        "web.2     missing  -    -   -         -          -     -    -\n"
        "web.1 ran out of memory. To give more: gitpaas resource:limit hello -p web --memory SIZE\n"
    )
    assert max(map(len, shown.splitlines()[:-1])) <= 80


def test_everything_is_in_the_json(hello: Caller) -> None:
    routed(hello, "127.0.0.1:20001")
    now = time.time()
    hello.platform.runtime.instances += [
        instance(address="127.0.0.1:20001", last_exit=Exit(3, False, 5.0), restarts=1),
        instance("worker", state="exited", exit_code=137, oom=True, started_at=now - 9, exited_at=now - 1, restarts=7),
    ]
    hello.platform.runtime.usages = [Usage(2 * MB, 10.01, 100.0)]

    first, second = hello("ps", "hello", "--format", "json").json["instances"]

    assert (first["memory"], first["cpu_percent"], first["cpu_seconds"]) == (2 * MB, 5.0, 10.01)
    assert (first["status"], first["starts_at"], first["restarts"]) == ("running", None, 1)
    assert first["last_exit"] == {"code": 3, "signal": None, "oom": False, "at": "1970-01-01T00:00:05.000Z"}
    assert 199 < first["uptime"] < 230
    assert (second["memory"], second["cpu_percent"], second["uptime"]) == (None, None, None)
    assert (second["name"], second["exit_code"], second["oom"]) == ("worker.1", 137, True)
    assert second["last_exit"] == {"code": 137, "signal": "SIGKILL", "oom": True, "at": second["exited_at"]}
    assert second["starts_at"] > second["exited_at"]


@pytest.mark.parametrize(
    ("fields", "route", "status"),
    [
        ({}, None, "running"),
        ({"address": "a:1"}, ("a:1",), "running"),
        ({"address": "a:1"}, ("a:2",), "starting"),
        ({"address": "a:1"}, "crashed", "starting"),
        ({"release": 4}, None, "starting"),
        ({"release": 2, "address": "a:1"}, ("a:2",), "draining"),
        ({"number": 3}, None, "draining"),
        ({"number": 2}, None, "stopping"),
        ({"number": 2, "state": "exited", "exit_code": 143}, None, "stopped"),
        ({"state": "exited", "exit_code": 1}, None, "crashed"),
        ({"state": "exited", "exit_code": 0, "oom": True}, None, "crashed"),
        ({"state": "exited", "exit_code": 0}, None, "exited"),
        ({"state": "exited"}, None, "exited"),
    ],
)
def test_states(fields: dict[str, Any], route: Any, status: str) -> None:
    app = App(name="hello", created_by="alice", release=3, held='["web.2"]')
    one = instance(**fields)
    assert Shown(app, {"web": 2}, [one], {}, route).status(one) == status


def test_one_whose_successor_answers_is_draining() -> None:
    app = App(name="hello", created_by="alice", release=3)
    old, new = instance(address="a:1"), instance(address="a:2", started_at=time.time())
    assert [Shown(app, {"web": 1}, [old, new], {}, ("a:2",)).status(one) for one in (old, new)] == [
        "draining",
        "running",
    ]
    assert [Shown(app, {"web": 1}, [old, new], {}, ("a:1",)).status(one) for one in (old, new)] == [
        "running",
        "starting",
    ]


@pytest.mark.parametrize(("is_unseen", "status"), [(False, "missing"), (True, "unknown")])
def test_what_is_not_there_and_what_cannot_be_seen(is_unseen: bool, status: str) -> None:
    app = App(name="hello", created_by="alice", release=3, held='["web.2"]')
    shown = Shown(app, {"web": 2}, [], {}, None, is_unseen)
    assert list(shown.absent()) == [("web.1", status), ("web.2", "stopped")]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (None, "-"),
        (Exit(0), "exit 0"),
        (Exit(1), "exit 1"),
        (Exit(127), "exit 127"),
        (Exit(137), "SIGKILL"),
        (Exit(143), "SIGTERM"),
        (Exit(255), "exit 255"),
        (Exit(137, oom=True), "no memory"),
        (Exit(None), "unknown"),
    ],
)
def test_how_one_ended(how: Exit | None, words: str) -> None:
    assert instances.ended(how) == words


def test_what_was_told_to_stop(hello: Caller) -> None:
    with hello.platform.store.session():
        App.update(held='["web.2", "worker"]').execute()
    hello.platform.runtime.instances += [instance(), instance(number=2)]

    shown = hello("ps", "hello").out.splitlines()[2:]

    assert [line.split()[:2] for line in shown] == [
        ["web.1", "running"],
        ["web.2", "stopping"],
        ["worker.1", "stopped"],
    ]
    answer = hello("ps", "hello", "--format", "json").json
    assert (answer["held"], answer["absent"]) == (["web.2", "worker"], [{"name": "worker.1", "status": "stopped"}])


def test_what_does_not_stay_up(hello: Caller) -> None:
    now = time.time()
    hello.platform.runtime.instances += [
        instance(started_at=now - 5, restarts=4),
        instance("worker", state="exited", exit_code=1, started_at=now - 2, exited_at=now, restarts=6),
        instance("clock", release=2, state="exited", exit_code=1, exited_at=now, restarts=9),
    ]

    *_, waits, loops = hello("ps", "hello").out.splitlines()

    assert re.fullmatch(r"Starting again: worker\.1 in 3[12]\.\ds\.", waits)
    assert loops == "web.1 and worker.1 keep crashing (7 times in a row). To see why: gitpaas logs hello"


def test_of_many_that_wait_some_are_named(hello: Caller) -> None:
    now = time.time()
    hello.platform.runtime.instances += [
        instance("worker", n, state="exited", exit_code=1, started_at=now - 2, exited_at=now, restarts=6)
        for n in range(1, 9)
    ]

    assert re.search(
        r"^Starting again: worker\.1 in .*, worker\.5 in 3.\..s, 3 more\.$", hello("ps", "hello").out, re.MULTILINE
    )


def test_who_reads_again_waits_for_nothing(hello: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("gitpaas.instances.gauge.time.sleep", slept.append)
    one, runtime = instance(), hello.platform.runtime
    gauge = Gauge(runtime)
    assert gauge.read([one]) == {}
    assert gauge.read([instance(state="exited")]) == {}
    assert slept == []
    runtime.usages = [Usage(MB, 1.0, 10.0), Usage(MB, 1.5, 11.0), Usage(3 * MB, 4.5, 13.0), Usage(MB, 0.1, 14.0)]
    assert gauge.read([one]) == {one.id: Load(MB, 0.5, 1.5)}
    assert gauge.read([one]) == {one.id: Load(3 * MB, 1.5, 4.5)}
    assert gauge.read([one]) == {one.id: Load(MB, 0.0, 0.1)}, "what a child took is forgotten with it"
    assert len(slept) == 1
