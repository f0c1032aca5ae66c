"""The set-up scripts agree with the code they set up."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_ci_requires_every_tool_that_a_test_needs() -> None:
    required = re.search(r"GITPAAS_TESTS_REQUIRE=(\S+)", (ROOT / ".ci" / "run").read_text())
    assert required
    needed = {tool for path in (ROOT / "tests").rglob("*.py") for tool in _needs(path)}

    assert needed <= set(required[1].split(","))


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_lock_has_every_dependency_with_hashes_and_no_registry(lock: str) -> None:
    text = (ROOT / "scripts" / lock).read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"] * (lock == "requirements-dev.txt")
    pins = re.split(r"\n(?=\S)", text.strip())[1:]

    assert {_name(line) for line in wanted} <= {_name(pin) for pin in pins}
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)
    assert "://" not in text


def test_both_locks_pin_the_same_versions() -> None:
    plain, dev = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "scripts" / name).read_text(), re.MULTILINE))
        for name in ("requirements.txt", "requirements-dev.txt")
    )

    assert plain.items() <= dev.items()


@pytest.mark.parametrize("script", ["quickstart", "environment", "test", "test-engine", "check", "bench", "lock"])
def test_scripts_are_executable(script: str) -> None:
    assert os.access(ROOT / "scripts" / script, os.X_OK)


def _needs(path: Path) -> Iterator[str]:
    """The tools in `pytest.mark.needs("git", ...)` and require("git") of one file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.mark.needs", "require"):
            yield from (word.value for word in node.args if isinstance(word, ast.Constant))


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower().replace("_", "-")
