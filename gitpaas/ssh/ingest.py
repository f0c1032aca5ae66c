"""A pack from the client into the repository: through `git index-pack` in a quarantine, all of it or nothing.

The same steps as git's receive-pack (tmp-objdir.c, connected.c): the objects are not visible to anybody before they
are whole, sane and connected; whatever fails leaves nothing behind.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from gitpaas import shell
from gitpaas.ssh.children import git_env, limit
from gitpaas.ssh.wire import SILENCE

_PREFIX = "tmp_objdir-incoming-"  # a name that git knows: `git gc` removes what a power cut leaves
_THREADS = 2

_LEADS_OUT = 1  # index-pack's exit status when all is well, and objects of the repository are needed as well
_HEADER = 12  # bytes: "PACK", version, number of objects

# Defects of honest old histories. What is dangerous at checkout stays fatal: .git, .., absolute paths, bad modules.
_FORGIVEN = (
    "badDate", "badDateOverflow", "badEmail", "badFilemode", "badName", "badTagName", "badTimezone",
    "gitmodulesParse", "missingAuthor", "missingCommitter", "missingEmail", "missingNameBeforeEmail",
    "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingTaggerEntry", "multipleAuthors", "nulInCommit",
    "zeroPaddedDate", "zeroPaddedFilemode",
)  # fmt: skip


class Quarantine:
    """New objects that nobody sees yet. Made by open_quarantine(), gone with its body unless admitted before."""

    def __init__(self, repository: Path, path: Path, shallow: Sequence[str]) -> None:
        self._objects = repository / "objects"
        self._path = path
        self.env = git_env(
            GIT_DIR=str(repository),
            GIT_OBJECT_DIRECTORY=str(path),
            GIT_ALTERNATE_OBJECT_DIRECTORIES=str(self._objects),
            GIT_QUARANTINE_PATH=str(path),
        )
        if shallow:
            boundary = path / "shallow"
            boundary.write_text("".join(f"{commit}\n" for commit in shallow))
            self.env["GIT_SHALLOW_FILE"] = str(boundary)
        self._is_empty = False
        self._is_closed = False  # no object in the pack leads out of it

    def take_pack(self, receive: Callable[[], bytes], interrupt: Callable[[bool], None], most: int) -> str | None:
        """Read one pack of at most `most` bytes. None when it is whole and sane, else what index-pack said."""
        argv = ["git", "index-pack", "--stdin", "--fix-thin", f"--threads={_THREADS}", f"--max-input-size={most}"]
        argv += ["--strict=" + ",".join(f"{name}=ignore" for name in _FORGIVEN), "--check-self-contained-and-connected"]
        # Not a pipe: a full one wakes its writer for each page that is read, and index-pack reads page by page. A
        # socket waits until there is room for more, which makes index-pack's first pass a tenth shorter.
        stdin, its_end = socket.socketpair()
        with stdin, its_end, _started(argv, self.env, its_end.fileno()) as process:
            its_end.close()  # index-pack's alone from here on: only then does one end see that the other is gone
            said: list[bytes] = []
            reaper = threading.Thread(target=_reap, args=(process, said, interrupt), daemon=True)
            reaper.start()
            try:
                self._is_empty = _count(_feed(stdin, receive)) == 0
            finally:
                reaper.join()
                interrupt(False)
        self._is_closed = process.returncode == 0
        if process.returncode in (0, _LEADS_OUT):
            return None
        return _last_words(b"".join(said)) or f"index-pack ended with {process.returncode}"

    def is_connected(self, tips: Sequence[str], keep_alive: Callable[[], None]) -> bool:
        """Whether everything that these objects lead to is there, in the quarantine or in the repository."""
        # index-pack has looked at every link in the pack: where none leads out, no second walk is needed.
        doubtful = self._not_in_pack(tips) if self._is_closed else tips
        return not doubtful or self._walk(doubtful, keep_alive)

    def admit(self) -> None:
        """Move the objects into the repository, the index last: it is what makes a pack visible."""
        if self._is_empty:
            return
        source, target = self._path / "pack", self._objects / "pack"
        target.mkdir(exist_ok=True)
        for path in sorted(source.glob("*"), key=lambda path: path.suffix == ".idx"):
            path.rename(target / path.name)

    def _walk(self, tips: Sequence[str], keep_alive: Callable[[], None]) -> bool:
        argv = ["git", "rev-list", "--objects", "--stdin", "--not", "--all", "--quiet", "--alternate-refs"]
        with _started(argv, self.env) as process:
            wanted: bytes | None = "".join(f"{tip}\n" for tip in tips).encode()
            while process.returncode is None:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(wanted, SILENCE)
                    break
                wanted = None
                keep_alive()
        return process.returncode == 0

    def _not_in_pack(self, tips: Sequence[str]) -> list[str]:
        alone = {name: value for name, value in self.env.items() if name != "GIT_ALTERNATE_OBJECT_DIRECTORIES"}
        names = "".join(f"{tip}\n" for tip in tips).encode()
        found = shell.capture(["git", "cat-file", "--batch-check"], env=alone, input=names).decode().splitlines()
        return [tip for tip, line in zip(tips, found, strict=True) if line.endswith(" missing")]


@contextmanager
def open_quarantine(repository: Path, shallow: Sequence[str]) -> Iterator[Quarantine]:
    """`shallow`: commits whose parents nobody has, the client's and the repository's."""
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=repository / "objects"))
    try:
        yield Quarantine(repository, path, shallow)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep(repository: Path) -> None:
    """Remove what a killed server left. Only while nothing is being received."""
    for path in (repository / "objects").glob(f"{_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _started(argv: list[str], env: dict[str, str], stdin: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        argv, env=env, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        limit(process)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in filter(None, (process.stdin, process.stderr)):
            with suppress(OSError):
                pipe.close()


def _feed(stdin: socket.socket, receive: Callable[[], bytes]) -> bytes:
    """Everything that comes, until index-pack has seen the end of the pack. The first bytes of it back."""
    head = b""
    try:
        while data := receive():
            if len(head) < _HEADER:
                head += data[:_HEADER]
            stdin.sendall(data)
    except ConnectionError:
        pass  # it has ended, well or badly: its exit status says which
    finally:
        stdin.close()
    return head[:_HEADER]


def _reap(process: subprocess.Popen[bytes], said: list[bytes], interrupt: Callable[[bool], None]) -> None:
    said.append(cast(IO[bytes], process.stderr).read())
    process.wait()
    interrupt(True)  # nobody else wakes a receive() that waits for more than the pack


def _count(head: bytes) -> int | None:
    """Number of objects by the header of a pack."""
    return int.from_bytes(head[8:], "big") if len(head) == _HEADER else None


def _last_words(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ").removeprefix("error: ")[:200] if lines else ""
