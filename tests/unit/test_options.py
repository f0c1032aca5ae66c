"""What can be chosen for builds and instances, what cannot, and how it is kept."""

from __future__ import annotations

import pytest
from callers import Caller

from gitpaas.apps import options
from gitpaas.errors import UsageError
from gitpaas.store import App
from gitpaas.values import BuildOptions, HealthCheck, RunOptions


def test_each_is_set_and_unset() -> None:
    chosen = options.change_builds(
        BuildOptions(),
        {"builder": "dockerfile", "root": "./apps//web/", "dockerfile": "Dockerfile.prod", "target": "x"},
    )
    chosen = options.change_builds(chosen, {"arg:B": "2=2", "arg:A": "1"})

    assert chosen == BuildOptions("dockerfile", "apps/web", "Dockerfile.prod", "x", {"A": "1", "B": "2=2"})
    assert options.written(chosen) == {
        "builder": "dockerfile", "root": "apps/web", "dockerfile": "Dockerfile.prod", "target": "x",
        "arg:A": "1", "arg:B": "2=2",
    }  # fmt: skip
    assert options.change_builds(chosen, dict.fromkeys(options.written(chosen), "")) == BuildOptions()
    assert options.written(BuildOptions()) == {}


def test_the_top_of_the_repository_is_no_root() -> None:
    assert options.change_builds(BuildOptions(root="web"), {"root": "."}) == BuildOptions()


@pytest.mark.parametrize(
    "changes",
    [
        {"root": "/etc"}, {"root": "../up"}, {"root": "a/../../b"}, {"root": "a\0b"}, {"root": "a\nb"}, {"root": "/"},
        {"root": "x" * 201}, {"dockerfile": "../Dockerfile"}, {"dockerfile": "."}, {"target": "a b"}, {"target": "-x"},
        {"arg:": "1"}, {"arg:1A": "1"}, {"arg:A": "\0"}, {"colour": "red"}, {"args": "A=1"},
        {"builder": "railpack", "dockerfile": "Dockerfile"}, {"builder": "slug", "arg:A": "1"},
    ],
)  # fmt: skip
def test_what_no_build_could_use(changes: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        options.change_builds(BuildOptions(), changes)
    assert caught.value.hint


def test_instances_have_a_port_and_perhaps_nothing_to_write_to() -> None:
    chosen = options.change_instances(RunOptions(), {"port": "8080", "read-only": "on"})
    assert chosen == RunOptions(8080, read_only=True)
    assert options.written(chosen) == {"port": "8080", "read-only": "on"}
    assert options.change_instances(chosen, {"port": "", "read-only": "off"}) == RunOptions()


@pytest.mark.parametrize(
    "changes", [{"port": "0"}, {"port": "65536"}, {"port": "x"}, {"read-only": "yes"}, {"cpu": "1"}]
)
def test_what_no_instance_could_use(changes: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        options.change_instances(RunOptions(), changes)


def test_the_health_check_is_the_trees_but_for_what_was_chosen() -> None:
    of_tree = HealthCheck("/health", 20.0)
    chosen = options.change_checks(RunOptions(8080), {"path": "/up?quick=1", "timeout": "2.5s"}, longest=60)

    assert options.health_check(RunOptions(), of_tree) == of_tree
    assert options.health_check(chosen, of_tree) == HealthCheck("/up?quick=1", 2.5)
    assert options.health_check(options.change_checks(chosen, {"path": ""}, 60), of_tree) == HealthCheck("/health", 2.5)
    assert options.change_checks(chosen, {"path": "", "timeout": ""}, longest=60) == RunOptions(8080)
    assert options.written(chosen) == {"port": "8080"}, "ps:set has nothing to do with it"


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "up"}, {"path": "http://x/up"}, {"path": "/a b"}, {"path": "/a\r\nX: y"}, {"path": "/ä"},
        {"path": "/" + "x" * 200}, {"timeout": "0"}, {"timeout": "-1"}, {"timeout": "nan"}, {"timeout": "1m"},
        {"timeout": "60.1"}, {"interval": "1"},
    ],
)  # fmt: skip
def test_what_no_check_could_be(changes: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        options.change_checks(RunOptions(), changes, longest=60)
    assert caught.value.hint


def test_they_are_kept_with_the_app(operator: Caller) -> None:
    operator("apps:create", "hello")
    with operator.platform.store.session():
        options.keep(App.get(), BuildOptions(root="web", args={"A": "1"}))
        options.keep(App.get(), RunOptions(port=80))
        assert options.of_builds(App.get()) == BuildOptions(root="web", args={"A": "1"})
        assert options.of_instances(App.get()) == RunOptions(port=80)


def test_what_a_later_version_kept_is_left_alone() -> None:
    assert options.of_builds(App(build_options='{"root": "web", "colour": "red"}')) == BuildOptions(root="web")
