"""What of the engine's stream is new. The engine is real in tests/integration/test_docker_output.py."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.runtimes.docker import copies
from gitpaas.runtimes.docker.copies import Copy


def frame(milliseconds: float, text: str, stream: int = 1) -> bytes:
    data = f"2026-11-24T02:14:{18 + milliseconds / 1000:012.9f}Z {text}\n".encode()
    return struct.pack(">BxxxL", stream, len(data)) + data


class Feed:
    """In place of the engine's stream: a piece at a time, then the end."""

    pieces: tuple[bytes, ...] = ()

    def __init__(self, *_: object) -> None:
        self._left = list(self.pieces)

    def read(self, timeout: float) -> bytes:
        return self._left.pop(0) if self._left else b""


def copied(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *pieces: bytes) -> list[str]:
    monkeypatch.setattr(copies, "Stream", Feed)
    monkeypatch.setattr(Feed, "pieces", pieces)
    raw, mark = tmp_path / "raw", tmp_path / "mark"
    mark.touch()
    copy = Copy(Engine(config), "key", raw, mark, follow=False)
    while copy.step(0.0):
        pass
    return raw.read_text().splitlines()


def flood(first: int, last: int) -> bytes:
    """A line each millisecond."""
    return b"".join(frame(n, f"line {n}") for n in range(first, last))


@pytest.mark.parametrize("begin", [0, 30, 99], ids=["an old file", "a young one", "a very young one"])
def test_a_file_that_the_engine_begins_anew_is_passed_over(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: int
) -> None:
    again = copied(config, tmp_path, monkeypatch, flood(0, 50), flood(50, 110), flood(begin, 130))
    assert again == [f"line {n}" for n in range(130)]


def test_a_line_of_the_other_stream_that_comes_late_is_not(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = frame(4.5, "error", stream=2)
    assert copied(config, tmp_path, monkeypatch, flood(0, 10) + late, flood(10, 12)) == [
        *(f"line {n}" for n in range(10)), "error", "line 10", "line 11",
    ]  # fmt: skip
