"""Which instance people mean, and what they want to run in it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from callers import Caller

from gitpaas import releases
from gitpaas.errors import NotFound
from gitpaas.oneoffs import entering
from gitpaas.store import App, Release
from gitpaas.values import Instance


def instance(label: str, release: int = 2, one_off: int | None = None) -> Instance:
    process, _, number = label.partition(".")
    key = f"{label}-v{release}"
    return Instance(key, "hello", release, process, int(number), "running", None, time.time(), one_off=one_off)


def chosen(caller: Caller, running: Sequence[Instance], *words: str) -> tuple[str, list[str]]:
    caller("apps:create", "hello")
    caller.platform.runtime.instances += running
    with caller.platform.store.session():
        App.update(release=2).execute()
        found, rest = entering.choose(caller.platform, App.get(), words)
    return found.id, rest


RUNNING = [
    instance("run.3", one_off=7),
    instance("worker.1"),
    instance("web.1", 1),
    instance("web.1"),
    instance("web.2"),
]


@pytest.mark.parametrize(
    ("words", "where", "rest"),
    [
        ((), "web.1-v2", []),
        (("web.2",), "web.2-v2", []),
        (("worker",), "worker.1-v2", []),
        (("run.3", "ls", "-l"), "run.3-v2", ["ls", "-l"]),
        (("web", "--", "ls", "--", "x"), "web.1-v2", ["ls", "--", "x"]),
        (("ls", "-l"), "web.1-v2", ["ls", "-l"]),
        (("./run.sh",), "web.1-v2", ["./run.sh"]),
    ],
)
def test_words_name_an_instance_or_a_command(
    operator: Caller, words: tuple[str, ...], where: str, rest: list[str]
) -> None:
    assert chosen(operator, RUNNING, *words) == (where, rest)


def test_without_web_it_is_another_process_but_no_one_off(operator: Caller) -> None:
    assert chosen(operator, RUNNING[:2]) == ("worker.1-v2", [])


def test_what_does_not_run_is_told(operator: Caller) -> None:
    with pytest.raises(NotFound) as refused:
        chosen(operator, RUNNING, "web.3")
    assert refused.value.hint == "These do: run.3, web.1, web.2, worker.1."


def test_before_the_first_release_that_is_told(operator: Caller) -> None:
    with pytest.raises(NotFound, match="hello has no release yet"):
        chosen(operator, [])


def test_where_nothing_runs_run_is_the_way(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "live", lambda app: Release(number=2))
    with pytest.raises(NotFound, match="Nothing of hello runs") as refused:
        chosen(operator, [])
    assert "run hello" in str(refused.value.hint)
