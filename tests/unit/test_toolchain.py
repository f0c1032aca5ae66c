"""Where a binary comes from when nothing has to be fetched, and what is said when nothing can be."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from toolbox import hello, pins, put

from gitpaas.config import Config
from gitpaas.errors import NotFound, ToolFailed
from gitpaas.toolchain import Toolchain
from gitpaas.toolchain.install import way_out
from gitpaas.toolchain.pins import Archive, Binary, Tool
from gitpaas.toolchain.shelf import Shelf


@pytest.fixture
def config(config: Config) -> Config:
    config.toolchain.mkdir(parents=True, mode=0o700)
    return config


def shelve(config: Config, tool: Tool, source: str = "archive") -> Path:
    """As an installation does it."""
    shelf = Shelf(config.toolchain)
    with shelf.scratch() as scratch:
        put(scratch / "made", "hello", f"hello {tool.version}")
        shelf.put(tool, scratch / "made", source)
    return shelf.folder(tool)


def given(config: Config, says: str = "hello 9.9") -> Config:
    folder = config.home.parent / "tools"
    put(folder, "hello", says)
    return replace(config, tools=str(folder))


def test_an_installed_binary_is_used_as_it_is(config: Config) -> None:
    folder = shelve(config, hello())
    said: list[str] = []

    assert Toolchain(config, pins(hello())).path("hello", said.append) == folder / "hello"
    assert said == []
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in config.toolchain.iterdir()) == ["hello-1.0"]


def test_the_operators_binary_wins(config: Config) -> None:
    shelve(config, hello())
    ours = given(config)

    assert Toolchain(ours, pins(hello())).path("hello") == Path(ours.tools) / "hello"


def test_an_operators_binary_that_does_not_run_is_an_error_not_a_reason_to_fetch(config: Config) -> None:
    ours = given(config)
    (Path(ours.tools) / "hello").write_text("#!/bin/sh\nexit 3\n")

    with pytest.raises(ToolFailed, match=r"tools/hello does not run: --version exited with 3"):
        Toolchain(ours, pins(hello())).path("hello")


def test_an_operators_binary_that_anybody_could_change_is_refused(config: Config) -> None:
    ours = given(config)
    Path(ours.tools).chmod(0o777)

    with pytest.raises(ToolFailed, match="changed by every user") as caught:
        Toolchain(ours, pins(hello())).path("hello")
    assert caught.value.hint == f"chmod o-w {ours.tools}"


def test_a_tools_directory_that_is_not_there(config: Config) -> None:
    with pytest.raises(ToolFailed, match="/nowhere is not there"):
        Toolchain(replace(config, tools="/nowhere"), pins(hello())).path("hello")


def test_what_the_tools_directory_lacks_is_found_elsewhere(config: Config) -> None:
    folder = shelve(config, hello())
    empty = replace(config, tools=str(config.home))

    assert Toolchain(empty, pins(hello())).path("hello") == folder / "hello"


def test_nothing_to_be_had_says_what_was_tried_and_the_ways_out(config: Config) -> None:
    with pytest.raises(
        ToolFailed, match=r"hello 1\.0 cannot be had: no archive for .* is pinned; .* not built with Go"
    ) as caught:
        Toolchain(config, pins(hello())).path("hello")
    assert "put hello into a directory and name it in gitpaas.toml" in (caught.value.hint or "")


def test_a_new_version_takes_the_place_of_the_old(config: Config) -> None:
    shelve(config, hello("1.0"))
    shelve(config, hello("1.1"))
    (config.toolchain / "hello-kitty").mkdir()

    assert sorted(path.name for path in config.toolchain.iterdir()) == ["hello-1.1", "hello-kitty"]


def test_a_binary_of_another_size_is_not_taken_for_installed(config: Config) -> None:
    folder = shelve(config, hello())
    (folder / "hello").write_text("")

    with pytest.raises(ToolFailed, match="cannot be had"):
        Toolchain(config, pins(hello())).path("hello")
    assert [state.state for state in Toolchain(config, pins(hello())).installed()][1] == "damaged"


def test_an_optional_binary_that_did_not_come(config: Config) -> None:
    shelve(config, hello())

    with pytest.raises(ToolFailed, match=r"extra of hello 1\.0 is not installed"):
        Toolchain(config, pins(hello())).path("extra")


@pytest.mark.parametrize("record", ["", "[]", '{"source": "go", "files": {"hello": 3}}', '{"files": {}}'])
def test_a_record_that_cannot_be_read_is_no_installation(config: Config, record: str) -> None:
    folder = shelve(config, hello())
    (folder / "installed.json").write_text(record)

    assert Shelf(config.toolchain).kept(hello()) is None
    assert [state.state for state in Toolchain(config, pins(hello())).installed()][1] == "damaged"


def test_the_list(config: Config) -> None:
    folder = shelve(config, hello(), source="go")

    buildkit, ours, runc = Toolchain(config, pins(hello())).installed()
    assert (buildkit.tool, buildkit.state, buildkit.path) == ("buildkit", "missing", None)
    assert (ours.state, ours.source, ours.path, ours.size) == (
        "ready",
        "go",
        folder,
        len("#!/bin/sh\necho 'hello 1.0'\n"),
    )
    assert runc.tool == "runc"


def test_the_list_with_a_tools_directory(config: Config) -> None:
    ours = given(config)
    put(Path(ours.tools), "runc", "runc version 1")

    _, listed, runc = Toolchain(ours, pins(hello())).installed()
    assert (listed.state, listed.source, listed.path) == ("ready", "tools directory", Path(ours.tools))
    assert (runc.source, runc.path) == ("tools directory", Path(ours.tools) / "runc")


def test_a_check_finds_one_changed_byte(config: Config) -> None:
    folder = shelve(config, hello())
    toolchain = Toolchain(config, pins(hello()))
    assert [(found.ok, found.text) for found in toolchain.check() if found.binary == "hello"] == [(True, "hello 1.0")]

    content = (folder / "hello").read_bytes()
    (folder / "hello").write_bytes(content.replace(b"hello 1.0", b"hello 1.1"))
    found = next(found for found in toolchain.check() if found.binary == "hello")
    assert (found.ok, found.text) == (False, "changed since it was installed: its checksum differs")
    assert found.hint == "Install hello again: gitpaas toolchain:install hello"


def test_a_check_takes_an_operators_binary_of_any_version(config: Config) -> None:
    found = next(found for found in Toolchain(given(config), pins(hello())).check() if found.binary == "hello")

    assert found.ok
    assert found.text.startswith("hello 9.9")


def test_a_check_without_runc(config: Config, tmp_path: Path) -> None:
    bare = replace(config, environ={"PATH": str(tmp_path)})

    found = Toolchain(bare, pins(hello())).check()[-1]
    assert (found.tool, found.ok, found.text) == ("runc", False, "missing")
    assert "Docker Engine" in (found.hint or "")


def test_the_search_path_of_buildkitd(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    put(folder, "buildkitd", "buildkitd 0")
    bare = replace(config, tools=str(folder), environ={"PATH": "/none:/nowhere"})

    with pytest.raises(ToolFailed, match="runc is missing"):
        Toolchain(bare, pins()).search_path()
    put(folder, "buildkit-runc", "runc 1")
    assert Toolchain(bare, pins()).search_path() == f"{folder}:/none:/nowhere"


def test_a_directory_of_copies_serves_as_the_tools_directory(config: Config, tmp_path: Path) -> None:
    shelve(config, hello())
    folder = tmp_path / "copies"
    put(folder, "hello", "an older one")

    Toolchain(config, pins(hello())).copy_into(folder, "hello")
    assert [path.name for path in folder.iterdir()] == ["hello"]
    assert os.access(folder / "hello", os.X_OK)
    again = replace(config, home=tmp_path / "other", tools=str(folder))
    assert Toolchain(again, pins(hello())).path("hello") == folder / "hello"
    Toolchain(again, pins(hello())).copy_into(folder, "hello")  # onto itself


def test_a_tool_that_does_not_exist(config: Config) -> None:
    with pytest.raises(NotFound, match="no tool docker"):
        Toolchain(config, pins(hello())).install("docker")


def test_where_railpack_expects_its_mise(config: Config) -> None:
    assert Toolchain(config).seen_at("mise") == Path("/tmp/railpack/mise/mise-2026.3.17")


def test_what_else_came_with_a_tool_is_checked_too(config: Config) -> None:
    shelf = Shelf(config.toolchain)
    with shelf.scratch() as scratch:
        put(scratch / "made", "hello", "hello 1.0")
        put(scratch / "made", "extra", "extra")
        shelf.put(hello(), scratch / "made", "archive")
    (shelf.folder(hello()) / "extra").unlink()

    found = {found.binary: found.text for found in Toolchain(config, pins(hello())).check()}
    assert found["extra"] == "gone since it was installed"


def test_the_way_out_names_the_hosts_that_matter() -> None:
    archive = Archive("https://example.com/hello.tgz", "sha256:00")
    built = replace(hello(), binaries={"hello": Binary("hello", package="example.com/hello")})
    names = "put hello into a directory and name it in gitpaas.toml: tools = DIR"

    assert way_out(hello(), pins()) == f"You can {names}"
    assert way_out(hello(archive=archive), pins()) == f"Let this machine reach example.com, or {names}"
    assert way_out(built, pins()) == (
        f"Let this machine reach proxy.golang.org (and pypi.org, unless Go 1.21 or newer is on PATH), or {names}"
    )
    assert "example.com or else proxy.golang.org" in way_out(
        replace(built, archives=hello(archive=archive).archives), pins()
    )
