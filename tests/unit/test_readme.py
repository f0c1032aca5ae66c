"""README tells of every command, option and setting there is, in the words of the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gitpaas import commands
from gitpaas.commands import every
from gitpaas.config import settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

_SPEC = importlib.util.spec_from_file_location("readme", ROOT / "scripts" / "readme.py")
assert _SPEC
assert _SPEC.loader
readme = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(readme)


def test_the_tables_are_those_of_the_code() -> None:
    assert readme.filled(README) == README, "run scripts/readme"


@pytest.mark.parametrize("one", [one for one in every.COMMANDS if not one.hidden], ids=lambda one: one.name)
def test_each_command_is_there_with_its_options(one: commands.Command) -> None:
    row = next((line for line in README.splitlines() if line.startswith((f"| `{one.name} ", f"| `{one.name}`"))), "")

    assert row
    assert [option for option, _ in one.options() if f"`{option}`: " not in row] == []


def test_each_setting_is_there() -> None:
    assert [setting.variable for setting in settings() if f"| `{setting.variable}` |" not in README] == []


def test_a_table_out_of_date_is_noticed() -> None:
    assert readme.filled("<!-- settings -->\nold\n<!-- end -->").count("GITPAAS_") > 20
