"""The data file and the Go module beside it say the same, and nothing is pinned by half."""

from __future__ import annotations

import re

import pytest

from gitpaas.toolchain.fetch import parse_digest
from gitpaas.toolchain.golang import at_least, build_arguments
from gitpaas.toolchain.pins import Tool, shipped, this_platform

PINS = shipped()
MODULE = (PINS.module / "go.mod").read_text()
LENGTHS = {"sha256": 32, "sha512": 64}


def test_the_tools_that_builds_need() -> None:
    assert {name: tool.version for name, tool in PINS.tools.items()}.keys() == {"railpack", "buildkit", "mise"}
    assert PINS.owner("buildctl").name == PINS.owner("buildkit-cni-bridge").name == "buildkit"
    with pytest.raises(ValueError, match="no binary"):
        PINS.owner("docker")


@pytest.mark.parametrize("tool", PINS.tools.values(), ids=lambda tool: tool.name)
def test_every_tool_can_be_had_on_amd64(tool: Tool) -> None:
    assert "linux-amd64" in tool.archives or tool.packages
    for archive in tool.archives.values():
        algorithm, value = parse_digest(archive.digest)
        assert len(value) == LENGTHS[algorithm]
        assert archive.url.startswith("https://")
        assert tool.version in archive.url


def test_every_go_wheel_has_its_hash() -> None:
    assert PINS.go.wheels.keys() == {"linux-amd64", "linux-arm64"}
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", wheel) for wheel in PINS.go.wheels.values())
    assert at_least(PINS.go.version, PINS.go.least)


def test_the_go_module_names_the_same_versions_and_packages() -> None:
    required = dict(re.findall(r"^\t([\w./-]+) (v\S+)", MODULE, re.MULTILINE))
    tools = set(re.findall(r"^\t(\S+)$", MODULE, re.MULTILINE))
    railpack, buildkit = PINS.tools["railpack"], PINS.tools["buildkit"]

    assert required["github.com/railwayapp/railpack"] == f"v{railpack.version}"
    assert required["github.com/moby/buildkit"] == f"v{buildkit.version}"
    assert required["github.com/containernetworking/plugins"] == buildkit.binaries["buildkit-cni-bridge"].says
    assert tools == {package for tool in PINS.tools.values() for package in tool.packages.values()}
    assert f"\ngo {PINS.go.least}\n" in MODULE


def test_every_module_that_go_builds_is_in_go_sum() -> None:
    sums = (PINS.module / "go.sum").read_text()
    for module, version in re.findall(r"^\t([\w./-]+) (v\S+)", MODULE, re.MULTILINE):
        assert f"{module} {version}/go.mod h1:" in sums or f"{module} {version} h1:" in sums, module


def test_what_go_is_told() -> None:
    railpack = PINS.tools["railpack"]

    assert build_arguments(railpack, "osusergo,netgo", PINS.module / "x") == [
        "build",
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-tags=osusergo,netgo",
        "-ldflags",
        f"-s -w -X main.version={railpack.version}",
        "-o",
        f"{PINS.module}/x/",
        "github.com/railwayapp/railpack/cmd/cli",
    ]


@pytest.mark.parametrize(
    ("version", "least", "enough"),
    [
        ("1.26.3", "1.26.3", True),
        ("1.27.0", "1.26.3", True),
        ("1.9.7", "1.26.3", False),
        ("1.26.2", "1.26.3", False),
        ("1.27rc1", "1.27.0", False),
        ("1.27rc1", "1.26.3", True),
    ],
)
def test_new_enough(version: str, least: str, enough: bool) -> None:
    assert at_least(version, least) is enough


def test_platforms_are_named_as_go_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert this_platform() == "linux-arm64"


def test_digests_as_releases_and_as_npm_write_them() -> None:
    assert parse_digest("sha256:00ff") == ("sha256", b"\x00\xff")
    assert parse_digest("sha512-AP8=") == ("sha512", b"\x00\xff")
