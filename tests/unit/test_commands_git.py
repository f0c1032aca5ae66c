"""git:set: the deploy branch, chosen by hand."""

from __future__ import annotations

import pytest
from callers import Caller

from gitpaas.git import repository
from gitpaas.store import App, Event


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")


def branch(caller: Caller) -> str | None:
    with caller.platform.store.session():
        return App.get(App.name == "hello").deploy_branch


@pytest.mark.parametrize(
    "words", [("deploy-branch=team/live",), ("deploy-branch", "team/live"), ("deploy-branch=refs/heads/team/live",)]
)
def test_it_is_what_pushes_deploy_and_clones_check_out(deployer: Caller, words: tuple[str, ...]) -> None:
    assert deployer("git:set", "hello").out == "deploy-branch=\n"

    answer = deployer("git:set", "hello", *words)

    assert answer.out == (
        "hello: team/live is deployed from the next push on.\nNobody has pushed it so far: git push paas team/live\n"
    )
    assert branch(deployer) == "team/live"
    assert deployer("git", "set", "hello").out == "deploy-branch=team/live\n"
    path = deployer.platform.config.repository("hello")
    assert repository.git(path, "symbolic-ref", "HEAD") == "refs/heads/team/live\n"
    with deployer.platform.store.session():
        texts = [event.text for event in Event.select().where(Event.action == "git:set")]
    assert texts == ["deploy-branch=team/live"]


def test_without_a_value_it_is_as_at_first(deployer: Caller) -> None:
    deployer("git:set", "hello", "deploy-branch=live")

    assert "main or master" in deployer("git:set", "hello", "deploy-branch=").out
    assert branch(deployer) is None


@pytest.mark.parametrize(
    "name", ["a..b", "a b", "-x", "/x", "x.lock", "a\nb", "a\0b", "@{-1}", "x" * 201, "a:b", "*", ".", "x/"]
)
def test_what_is_no_branch(deployer: Caller, name: str) -> None:
    answer = deployer("git:set", "hello", f"deploy-branch={name}")

    assert answer.code == 2
    assert "is no name of a branch" in answer.err
    assert branch(deployer) is None


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("deploy-branch=x",), "Which app?"),
        (("hello", "deploy-branch"), "is not KEY=VALUE"),
        (("hello", "deploy-branch", "a", "b"), "is not KEY=VALUE"),
        (("hello", "branch=x"), "There are: deploy-branch."),
    ],
)
def test_what_cannot_be_meant(deployer: Caller, argv: tuple[str, ...], told: str) -> None:
    answer = deployer("git:set", *argv)
    assert answer.code == 2
    assert told in answer.err


def test_a_reader_may_not(reader: Caller) -> None:
    assert reader("git:set", "hello", "deploy-branch=x").code == 3
