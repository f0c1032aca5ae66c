"""Engines that a test may cut off, stop and kill: a door before the machine's own, and one of the test's own."""

from __future__ import annotations

import gc
import os
import selectors
import shutil
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

import engine
import processes
from instances import until

from gitpaas.engine import answers

_PIECE = 65536


class Door:
    """A socket that leads to the machine's engine, as long as it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[socket.socket] = []  # for an answer that does not come
        self._through: list[tuple[socket.socket, socket.socket]] = []
        self._server: socket.socket | None = None
        self._accepting = threading.Thread()
        self.open()

    @property
    def address(self) -> str:
        return f"unix://{self.path}"

    def open(self) -> None:
        self._listen(self._pass_on)

    def hang(self) -> None:
        """From now on it takes connections and says nothing."""
        self.close()
        self._listen(self._waiting.append)

    def close(self) -> None:
        """Like an engine that has ended: nobody is let in any more, and nobody stays who was."""
        if self._server is not None:
            with suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self._accepting.join()  # it may just be letting somebody in
            self._server.close()
            self._server = None
        self.path.unlink(missing_ok=True)
        for client in self._waiting:
            client.close()
        for one, _ in self._through:
            with suppress(OSError):  # its thread closes it
                one.shutdown(socket.SHUT_RDWR)
        self._waiting, self._through = [], []

    def _listen(self, serve: Callable[[socket.socket], None]) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen(50)
        self._accepting = threading.Thread(target=self._accept, args=(self._server, serve), daemon=True)
        self._accepting.start()

    def _accept(self, server: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with suppress(OSError):
            while True:
                serve(server.accept()[0])

    def _pass_on(self, client: socket.socket) -> None:
        real = socket.socket(socket.AF_UNIX)
        real.connect(engine.SOCKET)
        self._through.append((client, real))
        threading.Thread(target=self._shuttle, args=(client, real), daemon=True).start()

    def _shuttle(self, client: socket.socket, real: socket.socket) -> None:
        with client, real, suppress(OSError):
            _shuttle(client, real)


class SlowListener(Door):
    """An engine that says that it will tell what happens, and does not yet listen to it."""

    def __init__(self, path: Path) -> None:
        self.listens = threading.Event()
        super().__init__(path)

    def _shuttle(self, client: socket.socket, real: socket.socket) -> None:
        with client, real, suppress(OSError):
            asked = client.recv(_PIECE)
            is_about_events = asked.startswith(b"GET /events")
            if is_about_events:
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                self.listens.wait(100)
            real.sendall(asked)
            if is_about_events:
                said = b""
                while b"\r\n\r\n" not in said:
                    said += real.recv(_PIECE)
                client.sendall(said.partition(b"\r\n\r\n")[2])
            _shuttle(client, real)


def _shuttle(client: socket.socket, real: socket.socket) -> None:
    """Both ways, until one side hangs up."""
    others = {client: real, real: client}
    with selectors.DefaultSelector() as selector:  # select() ends at 1,024 open files
        for end in others:
            selector.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                ready = cast(socket.socket, key.fileobj)
                if not (data := ready.recv(_PIECE)):
                    return
                others[ready].sendall(data)


_AnyDoor = TypeVar("_AnyDoor", bound=Door)


@contextmanager
def door(path: Path, kind: Callable[[Path], _AnyDoor] = Door) -> Iterator[_AnyDoor]:  # type: ignore[assignment]
    made = kind(path)
    try:
        yield made
    finally:
        made.close()
        _collect_sockets()


class OwnEngine:
    """A dockerd of the test's own, with one image of the machine's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"unix://{folder}/s"
        self.image = ""

    def start(self) -> None:
        folder = self._folder
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # In a network of its own: bridges and rules of this one are the other engine's.
                    *("unshare", "--net", "dockerd", "--host", self.address, "--pidfile", folder / "pid"),
                    *("--data-root", folder / "data", "--exec-root", folder / "exec"),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: answers(self.address), timeout=150, told=lambda: (folder / "log").read_text()[-2000:])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM ends the containers too; SIGKILL leaves them to the next one."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(120)
            self._process = None
            # Its containerd dies with it. Where nobody reaps that, the next one would take it for alive.
            (self._folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def take_image(self, name: str) -> None:
        from docker import APIClient

        theirs, mine = APIClient(base_url=f"unix://{engine.SOCKET}"), APIClient(base_url=self.address, timeout=120)
        list(mine.load_image(theirs.get_image(name)))
        self.image = mine.inspect_image(name)["Id"]
        theirs.close()
        mine.close()

    def remove(self) -> None:
        """What a killed one has left as well."""
        self.stop()
        for pid in processes.mentioning(f"{self._folder}/"):  # containerd, its shims
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while points := _mounts(self._folder):
            for point in points:
                subprocess.run(["umount", "-l", point], check=False)
            assert time.monotonic() < deadline, points
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def own_engine(folder: Path, image: str) -> Iterator[OwnEngine]:
    made = OwnEngine(folder)
    try:
        made.start()
        made.take_image(image)
        yield made
    finally:
        made.remove()
        _collect_sockets()


def _collect_sockets() -> None:
    """docker-py forgets each socket on which it could not connect. Not collected here, some later test is blamed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _mounts(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [point for point in (line.split()[1] for line in lines) if point.startswith(f"{folder}/")]
