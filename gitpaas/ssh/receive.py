"""git's receive-pack as the client sees it: dulwich reads and writes the protocol, push.py does what is asked.

gitprotocol-pack(5), "Pushing Data To a Server", and gitprotocol-capabilities(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from dulwich.errors import GitProtocolError, HangupException
from dulwich.protocol import (
    CAPABILITY_ATOMIC,
    CAPABILITY_DELETE_REFS,
    CAPABILITY_OFS_DELTA,
    CAPABILITY_PUSH_OPTIONS,
    CAPABILITY_QUIET,
    CAPABILITY_REPORT_STATUS,
    CAPABILITY_SIDE_BAND_64K,
    SIDE_BAND_CHANNEL_PROGRESS,
    Protocol,
    capability_object_format,
    extract_capabilities,
)
from dulwich.repo import MemoryRepo, Repo
from dulwich.server import Backend, BackendRepo, ReceivePackHandler

from gitpaas import __version__, shell
from gitpaas.git.repository import RELEASES, RESERVED, Move
from gitpaas.ssh import push
from gitpaas.ssh.children import git_env
from gitpaas.ssh.services import Services
from gitpaas.ssh.shallow import read_shallow
from gitpaas.ssh.wire import Wire
from gitpaas.values import Actor

_MOST_COMMANDS = 16 * 1024 * 1024  # bytes of ref commands: some 100,000 refs
_MOST_OPTIONS = 64 * 1024
_HAVES = 8  # commits of builds, and as many of releases, offered as a base: a failed push need not be sent twice
_LENGTHS = {"sha1": 40, "sha256": 64}
_KEEP_ALIVE = b"0005\x01"  # an empty packet on sideband 1, as git's own receive-pack sends


class PushHandler(ReceivePackHandler, Backend):
    """One push. GitProtocolError when the client does not keep to the protocol, OSError when it has gone."""

    def __init__(self, wire: Wire, app: str, actor: Actor, services: Services) -> None:
        self._wire = wire
        self._app = app
        self._actor = actor
        self._services = services
        self._path = services.config.repository(app)
        self._exists = services.apps.exists(app)
        self._formats = services.new_apps.formats(app)
        super().__init__(self, [str(self._path)], Protocol(wire.read, wire.write))
        if self._exists:
            self._formats = [self.repo.object_format.name]

    def open_repository(self, path: str) -> BackendRepo:
        """dulwich's Backend: the bare repository, or an empty one while there is none. All work on it is git's."""
        if not self._exists:
            return cast(BackendRepo, MemoryRepo())
        with Repo(path) as repo:
            return repo

    def capabilities(self) -> Iterable[bytes]:
        return [
            CAPABILITY_REPORT_STATUS,
            CAPABILITY_DELETE_REFS,
            CAPABILITY_SIDE_BAND_64K,
            CAPABILITY_QUIET,
            CAPABILITY_ATOMIC,
            CAPABILITY_OFS_DELTA,
            CAPABILITY_PUSH_OPTIONS,
            *(capability_object_format(name) for name in self._formats),
            b"agent=gitpaas/" + __version__.encode(),
        ]

    def handle(self) -> None:
        self._advertise()
        with self._explained_hang_up():
            first = self.proto.read_pkt_line()
        moves, shallow = self._read_commands(first)
        if not moves:  # up to date, or --dry-run
            if notice := self._services.apps.live_notice(self._app):
                self._wire.tell(f"{notice}\n")
            return
        options = self._read_options() if self.has_capability(CAPABILITY_PUSH_OPTIONS) else ()
        self._report_push(
            push.take(
                push.Push(
                    app=self._app,
                    repository=self._path,
                    actor=self._actor,
                    moves=moves,
                    shallow=shallow,
                    options=options,
                    atomic=self.has_capability(CAPABILITY_ATOMIC),
                    object_format=self._agreed_format(),
                ),
                self,
                self._services,
            )
        )

    # What push.take() may ask of the client (follow.Client).

    def receive(self) -> bytes:
        return self._wire.receive(self.keep_alive)

    def interrupt(self, on: bool) -> None:
        self._wire.interrupt(on)

    def tell(self, data: bytes) -> None:
        """Lines for the person who pushes: `remote: ...`."""
        if self.has_capability(CAPABILITY_SIDE_BAND_64K):
            self.proto.write_sideband(SIDE_BAND_CHANNEL_PROGRESS, data)
            self._wire.flush()

    def keep_alive(self) -> None:
        if self._client_capabilities is not None and self.has_capability(CAPABILITY_SIDE_BAND_64K):
            self._wire.write(_KEEP_ALIVE)
            self._wire.flush()

    def is_gone(self) -> bool:
        return self._wire.is_gone

    def _advertise(self) -> None:
        refs, haves = _list_refs(self._path) if self._exists else ([], [])
        zero = b"0" * _LENGTHS[self._formats[0]]
        first, *rest = [*refs, *((value, b".have") for value in haves)] or [(zero, b"capabilities^{}")]
        self.proto.write_pkt_line(first[0] + b" " + first[1] + b"\0" + b" ".join(self.capabilities()) + b"\n")
        for value, name in rest:
            self.proto.write_pkt_line(value + b" " + name + b"\n")
        for commit in read_shallow(self._path):
            self.proto.write_pkt_line(f"shallow {commit}\n".encode())
        self.proto.write_pkt_line(None)
        self._wire.flush()

    @contextmanager
    def _explained_hang_up(self) -> Iterator[None]:
        """git clients of SHA-256 repositories give up on the empty SHA-1 repository that a new app is shown as."""
        try:
            yield
        except HangupException:
            if not self._exists:
                self._services.new_apps.expect_sha256(self._app)
                self._wire.tell(
                    " !     If this repository has SHA-256 objects: push again, the server now expects them.\n"
                )
            raise

    def _read_commands(self, line: bytes | None) -> tuple[list[Move], list[str]]:
        """Ref commands, and the boundary of a shallow clone (`shallow <commit>` lines among them)."""
        moves: list[Move] = []
        shallow: list[str] = []
        room = _MOST_COMMANDS
        while line is not None:
            room -= len(line)
            if room < 0:
                raise GitProtocolError("too many refs in one push")
            if line.startswith(b"shallow "):
                shallow.append(self._object_id(line[8:].strip()))
            else:
                if self._client_capabilities is None:
                    line, capabilities = extract_capabilities(line)
                    self.set_client_capabilities(capabilities)
                moves.append(self._move(line.rstrip(b"\n")))
            line = self.proto.read_pkt_line()
        return moves, shallow

    def _move(self, line: bytes) -> Move:
        parts = line.split(b" ", 2)
        if len(parts) != 3:
            raise GitProtocolError("not a ref command")
        return Move(parts[2].decode("utf-8", "replace"), self._object_id(parts[0]), self._object_id(parts[1]))

    def _object_id(self, text: bytes) -> str:
        # `shallow` lines may come before the client has said which of the two it speaks.
        lengths = [_LENGTHS[self._agreed_format()]] if self._client_capabilities else _LENGTHS.values()
        if len(text) not in lengths or text.strip(b"0123456789abcdef"):
            raise GitProtocolError("not an object id")
        return text.decode()

    def _agreed_format(self) -> str:
        """What the client wants; a client that does not say wants what was advertised first."""
        for name in ("sha1", "sha256"):
            if self._client_capabilities and capability_object_format(name) in self._client_capabilities:
                return name
        return self._formats[0]

    def _read_options(self) -> tuple[str, ...]:
        options: list[str] = []
        room = _MOST_OPTIONS
        while (line := self.proto.read_pkt_line()) is not None:
            room -= len(line) + 64
            if room < 0 or b"\0" in line:
                raise GitProtocolError("too many or unusable push options")
            options.append(line.rstrip(b"\n").decode("utf-8", "replace"))
        return tuple(options)

    def _report_push(self, report: push.Report) -> None:
        if self.has_capability(CAPABILITY_REPORT_STATUS):
            lines = [(move.ref, reason or "ok") for move, reason in report.verdicts]
            status = [("unpack", report.unpack), *lines]
            self._report_status([(name.encode(), reason.encode()) for name, reason in status])
        elif self.has_capability(CAPABILITY_SIDE_BAND_64K):
            self.proto.write_pkt_line(None)
        self._wire.flush()


def _list_refs(repository: Path) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """(value, name) of every ref that clients may see, and the values of the newest of ours."""
    argv = ["git", f"--git-dir={repository}", "for-each-ref", "--format=%(objectname) %(refname)"]
    listing = shell.capture(argv, env=git_env())
    reserved = tuple(prefix.encode() for prefix in RESERVED)
    refs: list[tuple[bytes, bytes]] = []
    ours: list[tuple[bytes, bytes]] = []
    for line in listing.splitlines():
        value, _, name = line.partition(b" ")
        (ours if (name + b"/").startswith(reserved) else refs).append((value, name))
    newest = [*_newest(ours, b"refs/builds/"), *_newest(ours, RELEASES.encode() + b"v")]
    return refs, list(dict.fromkeys(newest))


def _newest(refs: list[tuple[bytes, bytes]], prefix: bytes) -> list[bytes]:
    """By number: refs/builds/9 before refs/builds/10."""
    numbered = sorted((len(name), name, value) for value, name in refs if name.startswith(prefix))
    return [value for *_, value in numbered[-_HAVES:]]
