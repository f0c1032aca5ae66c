"""Room on the disk: known before a build, told in words."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from gitpaas.artifacts import room
from gitpaas.config import Config
from gitpaas.errors import GitpaasError
from gitpaas.output import amount


class Used(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1536, "2 kB"), (5 * 1024**2, "5 MB"), (1610612736, "1.5 GB"),
     (2 * 1024**4, "2.0 TB")],
)  # fmt: skip
def test_amounts_in_words(count: int, text: str) -> None:
    assert amount(count) == text


def test_too_little_room_is_told_with_numbers(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config.home.mkdir()
    monkeypatch.setattr("shutil.disk_usage", lambda _: Used(10 * 1024**3, 9 * 1024**3, 300 * 1024**2))

    with pytest.raises(GitpaasError) as caught:
        room.require_room(config, images=False)

    assert caught.value.message == (
        f"There is too little room to build: 300 MB are free on the disk of {config.home}, and 1.0 GB must be "
        "(min_free_disk)."
    )
    assert caught.value.hint == "What takes it: ssh paas disk. To free some: ssh paas disk:prune"
    room.require_room(replace(config, min_free_disk=200 * 1024**2), images=False)


def test_the_engine_has_a_disk_of_its_own(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.home.mkdir()
    engines = tmp_path / "engine"
    engines.mkdir()
    monkeypatch.setattr("shutil.disk_usage", lambda path: Used(100, 0, 1 if path == engines else 2 * 1024**3))
    with engine_at(tmp_path / "docker.sock", engines) as address:
        there = replace(config, docker_host=address)
        # Both are on the same filesystem here, which counts once.
        assert [disk.path for disk in room.disks(there, images=True)] == [config.home]
        monkeypatch.setattr(Path, "stat", numbered())
        assert [disk.path for disk in room.disks(there, images=True)] == [config.home, engines]
        with pytest.raises(GitpaasError, match=f"on the disk of {engines}"):
            room.require_room(there, images=True)
        room.require_room(there, images=False)


def test_an_engine_that_is_elsewhere_or_silent_has_no_disk_here(config: Config, tmp_path: Path) -> None:
    config.home.mkdir()

    for address in ("tcp://192.0.2.1:2375", "unix:///nonexistent/docker.sock"):
        assert len(room.disks(replace(config, docker_host=address), images=True)) == 1
    with engine_at(tmp_path / "docker.sock", tmp_path / "in-a-virtual-machine") as address:
        assert len(room.disks(replace(config, docker_host=address), images=True)) == 1


def numbered() -> object:
    """A Path.stat for which every directory is a filesystem of its own."""
    real = Path.stat

    def stat(path: Path, **options: bool) -> object:
        found = real(path, **options)
        return type("Stat", (), {"st_dev": hash(path), "st_mode": found.st_mode})()

    return stat


@contextmanager
def engine_at(path: Path, directory: Path) -> Iterator[str]:
    """An engine that answers one question."""
    body = b'{"DockerRootDir": "%s"}' % str(directory).encode()

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with socketserver.UnixStreamServer(str(path), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()
