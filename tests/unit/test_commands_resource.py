"""resource, resource:limit, resource:unset, as somebody sees them."""

from __future__ import annotations

from typing import Any

import pytest
from callers import Caller

from gitpaas.store import App

MB = 1024 * 1024


@pytest.fixture
def hello(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> Caller:
    operator("apps:create", "hello")
    monkeypatch.setattr("gitpaas.releases.formation", lambda *_: {"web": 1, "worker": 0})
    return operator


def test_without_a_word_the_settings_hold(hello: Caller) -> None:
    assert hello("resource", "hello").out == (
        "PROCESS     MEMORY  CPUS  PROCESSES  SAID\n"
        "web         512 MB  -     256        -\n"
        "worker      512 MB  -     256        -\n"
        "all others  512 MB  -     256        -\n"
    )


def test_what_is_said_is_listed_with_whom_it_was_said_of(hello: Caller) -> None:
    assert hello("resource:limit", "hello", "--cpu", "0.5").code == 0
    assert hello("resource:limit", "hello", "-p", "web", "--memory", "64m", "--processes", "20").code == 0
    assert hello("resource:limit", "hello", "-p", "run", "--memory", "1g").code == 0
    listed = hello("resource:limit", "hello").out
    assert listed == hello("resource", "hello").out
    assert listed == (
        "PROCESS     MEMORY  CPUS  PROCESSES  SAID\n"
        "web         64 MB   0.5   20         memory, processes, cpu (of all others)\n"
        "worker      512 MB  0.5   256        cpu (of all others)\n"
        "run         1.0 GB  0.5   256        memory, cpu (of all others)\n"
        "all others  512 MB  0.5   256        cpu\n"
    )
    shown: list[dict[str, Any]] = hello("resource", "hello", "--format", "json").json
    assert shown[0] == {
        "process": "web",
        "memory": 64 * MB,
        "cpu": 0.5,
        "processes": 20,
        "said": ["memory", "processes"],
    }
    assert shown[-1]["process"] is None


def test_words_are_taken_back(hello: Caller) -> None:
    hello("resource:limit", "hello", "--cpu", "0.5", "--memory", "64m", "--processes", "20")
    hello("resource:limit", "hello", "-p", "web", "--memory", "64m")
    hello("resource:unset", "hello", "memory", "cpu")
    hello("resource:limit", "hello", "-p", "web", "--memory", "")
    with hello.platform.store.session():
        assert App.get().resources == '{"": {"processes": 20}}'
    hello("resource:unset", "hello")
    with hello.platform.store.session():
        assert App.get().resources == "{}"


def test_a_change_is_an_event(hello: Caller) -> None:
    hello("resource:limit", "hello", "-p", "web", "--memory", "64m", "--cpu", "")
    assert "resource:limit hello ok: web: memory=64m cpu=" in hello("events", "hello").out
    hello("resource:limit", "hello")
    assert hello("events", "hello").out.count("resource:limit") == 1


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["resource:limit", "hello", "--memory", "9999t"], "more than this machine has"),
        (["resource:limit", "hello", "-p", "wob", "--memory", "64m"], "hello has no process type 'wob'"),
        (["resource:unset", "hello", "disk"], "'disk' is not limited"),
    ],
)
def test_what_cannot_be_meant(hello: Caller, argv: list[str], told: str) -> None:
    answer = hello(*argv)
    assert (answer.code, told in answer.err) == (2, True), answer.err
    with hello.platform.store.session():
        assert App.get().resources == "{}"


def test_what_this_machine_cannot_limit_is_refused(hello: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    hello.platform.__dict__["artifacts"] = {"slug": None}
    monkeypatch.setattr("gitpaas.linux.can_limit_cpus", lambda: False)
    monkeypatch.setattr("gitpaas.linux.cgroup_version", lambda: None)
    monkeypatch.setattr("gitpaas.linux.can_confine", lambda: False)
    assert "cannot share out its CPUs" in hello("resource:limit", "hello", "--cpu", "1").err
    assert "cannot limit the processes" in hello("resource:limit", "hello", "--processes", "20").err
    assert hello("resource:limit", "hello", "--memory", "64m").code == 0
