"""Whether a server is told that its program was changed beneath it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gitpaas import upgrade
from gitpaas.commands import door
from gitpaas.config import Config
from gitpaas.output import Console


@pytest.fixture
def program(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of two files, and a server that began with it."""
    root = tmp_path / "program"
    (root / "room").mkdir(parents=True)
    for name in ("upgrade.py", "room/one.py"):
        (root / name).write_text("")
    monkeypatch.setattr(upgrade, "__file__", str(root / "upgrade.py"))
    config.run.mkdir(parents=True, exist_ok=True)
    config.server_record.write_text(json.dumps({"program": upgrade.stamp()}))
    return root


def test_what_is_changed_added_or_removed_is_an_upgrade(config: Config, program: Path) -> None:
    assert not upgrade.has_come(config)
    (program / "room" / "two.py").write_text("")
    assert upgrade.has_come(config)
    (program / "room" / "two.py").unlink()
    assert not upgrade.has_come(config)
    os.utime(program / "room" / "one.py", (1, 1))
    assert upgrade.has_come(config)


def test_files_may_go_while_they_are_looked_at(config: Config, program: Path) -> None:
    (program / "going.py").symlink_to("gone")
    assert upgrade.has_come(config)


def test_server_that_does_not_say_what_it_began_with_is_an_older_one(config: Config, program: Path) -> None:
    config.server_record.write_text('{"pid": 1}')
    assert upgrade.has_come(config)


def test_where_no_server_runs_there_is_nothing_to_tell(config: Config, program: Path) -> None:
    config.server_record.write_text("")
    assert not upgrade.has_come(config)
    config.server_record.unlink()
    assert not upgrade.has_come(config)


def test_an_error_of_our_own_says_what_mends_it(config: Config, program: Path) -> None:
    said: list[str] = []
    console = Console(said.append, said.append, lambda: b"", lambda: False)

    def body() -> int:
        raise ImportError("cannot import name")

    assert door.guarded(config, console, body) == 1
    assert "gitpaas restart" not in "".join(said)
    (program / "new.py").write_text("")
    assert door.guarded(config, console, body) == 1
    assert f" !     {upgrade.HINT}\n" in said[-1]
