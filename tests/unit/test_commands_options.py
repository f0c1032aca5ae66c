"""builds:set and ps:set: what people say of builds and instances, what they are told, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from callers import Answer, Caller
from fakes import FolderImages

from gitpaas.apps import options
from gitpaas.commands.call import Call
from gitpaas.store import App, Event
from gitpaas.values import BuildOptions, RunOptions


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")


@pytest.fixture
def docker(operator: Caller, tmp_path: Path) -> None:
    """A server that builds and runs images."""
    store = FolderImages(tmp_path / "images")
    operator.platform.__dict__["artifacts"] = {**operator.platform.artifacts, "image": store}


def notes(caller: Caller) -> list[tuple[str, str]]:
    with caller.platform.store.session():
        return [(event.action, event.text) for event in Event.select().where(Event.action.endswith(":set"))]


def live(caller: Caller) -> None:
    with caller.platform.store.session():
        App.update(release=3).execute()


@pytest.mark.usefixtures("docker")
def test_builds_are_told_and_it_is_kept(deployer: Caller) -> None:
    assert deployer("builds:set", "hello") == Answer(0, "hello: the tree decides how it is built.\n", "")

    answer = deployer("builds:set", "hello", "root=./apps/web/", "dockerfile=Dockerfile.prod", "arg:LEVEL=a=b c")

    assert answer == Answer(
        0, "root=apps/web\ndockerfile=Dockerfile.prod\narg:LEVEL=a=b c\nThe next push is built so.\n", ""
    )
    assert deployer("builds:set", "hello", "arg:LEVEL=", "dockerfile=").out.startswith("root=apps/web\nThe next")
    assert deployer("builds:set", "hello").out == "root=apps/web\n"
    assert deployer("apps:info", "hello", "--format", "json").json["build_options"] == {"root": "apps/web"}
    assert "Builds      root=apps/web\n" in deployer("apps:info", "hello").out


@pytest.mark.usefixtures("docker")
def test_what_was_told_is_an_event_without_the_arguments_and_looking_is_none(deployer: Caller) -> None:
    deployer("builds:set", "hello")
    deployer("builds:set", "hello", "builder=dockerfile", "arg:TOKEN=s3cret")

    assert notes(deployer) == [("builds:set", "builder=dockerfile arg:TOKEN")]


def test_how_to_build_again_is_told_when_there_is_something_live(operator: Caller, deployer: Caller) -> None:
    live(operator)
    assert deployer("builds:set", "hello", "root=web").out.endswith(
        "The next push is built so. To build the live commit again with it: ssh paas ps:rebuild hello\n"
    )


@pytest.mark.parametrize("pair", ["builder=railpack", "builder=dockerfile", "dockerfile=Dockerfile", "target=web"])
def test_what_makes_images_is_refused_without_docker(deployer: Caller, pair: str) -> None:
    answer = deployer("builds:set", "hello", pair)

    assert answer.code == 2
    assert "makes images, and this server runs plain processes. The setting runtime says so." in answer.err
    assert deployer("builds:set", "hello").out == "hello: the tree decides how it is built.\n"


@pytest.mark.parametrize("pair", ["builder=make", "colour=red", "root=../x", "root", "arg:=1"])
def test_what_nobody_understands(deployer: Caller, pair: str) -> None:
    assert deployer("builds:set", "hello", pair).code == 2


def test_the_app_comes_first(deployer: Caller) -> None:
    assert "Which app?" in deployer("builds:set", "root=web").err
    assert deployer("builds:set", "root=web", "-a", "hello").code == 0


@pytest.mark.usefixtures("docker")
def test_instances_are_told(operator: Caller, deployer: Caller) -> None:
    assert deployer("ps:set", "hello").out == "hello: nothing is said of how its instances run.\n"
    assert deployer("ps:set", "hello", "port=8080", "read-only=on") == Answer(
        0, "port=8080\nread-only=on\nInstances run so from their next start on.\n", ""
    )
    live(operator)
    assert deployer("ps:set", "hello", "port=").out == (
        "read-only=on\nInstances run so from their next start on. "
        "To start them anew, without downtime: ssh paas ps:restart hello\n"
    )
    assert deployer("apps:info", "hello", "--format", "json").json["run_options"] == {"read-only": "on"}
    assert notes(deployer) == [("ps:set", "port=8080 read-only=on"), ("ps:set", "port=")]


def test_a_plain_process_is_told_its_port(deployer: Caller) -> None:
    assert "it must listen on $PORT" in deployer("ps:set", "hello", "port=8080").err
    assert deployer("ps:set", "hello", "read-only=on").code == 0


def test_a_reader_may_not(reader: Caller) -> None:
    assert reader("builds:set", "hello").code == reader("ps:set", "hello").code == 3


@pytest.mark.parametrize(
    ("argv", "others", "both"),
    [
        (("ps:set", "hello", "read-only=on"), RunOptions(check_path="/up"), RunOptions(None, True, "/up")),
        (("checks:set", "hello", "path=/up"), RunOptions(read_only=True), RunOptions(None, True, "/up")),
        (("builds:set", "hello", "root=web"), BuildOptions(builder="slug"), BuildOptions("slug", "web")),
    ],
)
def test_of_two_at_once_neither_undoes_the_others(
    deployer: Caller,
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    others: RunOptions | BuildOptions,
    both: RunOptions | BuildOptions,
) -> None:
    find = Call.app

    def another_is_quicker(call: Call, name: str) -> App:
        found = find(call, name)
        monkeypatch.setattr(Call, "app", find)
        options.keep(found, others)
        return found

    monkeypatch.setattr(Call, "app", another_is_quicker)

    assert deployer(*argv).code == 0

    with deployer.platform.store.session():
        app = App.get(App.name == "hello")
        assert (options.of_instances(app) if isinstance(both, RunOptions) else options.of_builds(app)) == both
