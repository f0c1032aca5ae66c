"""Build logs: a file first, followed by whoever watches."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gitpaas.logs import BuildLog, follow_build, read_build


def test_what_is_written_is_there_at_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "builds" / "12.log"
    BuildLog(path).write(b"one\n")
    BuildLog(path).write(b"two\n")

    assert read_build(path) == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_before_the_first_line(tmp_path: Path) -> None:
    assert read_build(tmp_path / "12.log") == b""


def test_following_shows_all_that_was_written_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "12.log"
    done = threading.Event()

    def build() -> None:
        log = BuildLog(path)
        for count in range(50):
            log.write(f"{count}\n".encode())
            time.sleep(0.005)
        done.set()

    thread = threading.Thread(target=build)
    thread.start()
    seen = b"".join(follow_build(path, done.is_set, lambda: False))
    thread.join()
    assert seen == b"".join(f"{count}\n".encode() for count in range(50))


def test_lines_come_while_it_is_built(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "12.log")
    done = threading.Event()
    follower = follow_build(tmp_path / "12.log", done.is_set, lambda: False)
    threading.Timer(0.1, log.write, [b"one\n"]).start()

    assert next(follower) == b"one\n"
    done.set()
    assert list(follower) == []


def test_a_reader_who_leaves_ends_it(tmp_path: Path) -> None:
    gone = threading.Event()
    threading.Timer(0.1, gone.set).start()

    assert list(follow_build(tmp_path / "none.log", lambda: False, gone.is_set)) == []


def test_a_full_disk_costs_lines_of_the_log_not_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = BuildLog(tmp_path / "12.log")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        log.write(b"lost\n")
    log.write(b"kept\n")
    log.close()
    log.write(b"after the end\n")

    assert read_build(tmp_path / "12.log") == b"kept\n"
