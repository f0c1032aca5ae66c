"""A commit out of a bare repository into an empty directory, exactly: the bytes of each blob, its mode, its links.

Not `git archive`: that applies eol, ident, export-subst and filter attributes on the way. `export-ignore` is the
one attribute honoured. Submodules are fetched from where .gitmodules at that commit says; a Git LFS pointer stays
what it is, with a warning.
"""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from gitpaas import shell
from gitpaas.errors import BuildFailed, CommandFailed, GitpaasError
from gitpaas.git import submodules

_MOST_ENTRIES = 1_000_000  # a few crafted objects can name 10^10 paths
_MOST_BYTES = 16 << 30
_PIECE = 1 << 20
_LFS = b"version https://git-lfs.github.com/spec/v1\n"
_PLAIN_GIT = {
    "HOME": "/nonexistent",  # else curl looks for the .netrc of the server's user
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_NO_DIRECTORY = {0o120000: "a link", 0o160000: "a submodule"}  # by git's mode
_DEFAULT_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


@dataclass(frozen=True)
class Entry:
    """One line of `git ls-tree`."""

    mode: int
    kind: bytes  # blob, tree or commit
    oid: str
    path: bytes  # in the commit
    place: bytes  # below the directory it is written to


@dataclass(frozen=True)
class Context:
    """What all exports of one build share."""

    env: Mapping[str, str]
    warn: Callable[[str], None]
    protocols: Sequence[str]
    depth: int = 0


def export(
    repository: Path,
    commit: str,
    target: Path,
    *,
    root: str | None = None,
    env: Mapping[str, str] | None = None,
    warn: Callable[[str], None] = lambda _: None,
    protocols: Sequence[str] = submodules.PROTOCOLS,
) -> None:
    """Write `commit` into `target`, an existing empty directory. BuildFailed for what the commit itself forbids.

    `root`: the directory of the commit that is written, and nothing beside it; a relative path without `..`.
    `env`: PATH, and what reaches submodules (proxies, certificates). `warn` is told what is not as it seems.
    `protocols`: the ones that submodules may be fetched by.
    """
    context = Context({**_DEFAULT_ENV, **(env or {}), **_PLAIN_GIT}, warn, protocols)
    entries = _wanted(repository, commit, context.env)
    _export(repository, commit, _below(root, entries) if root else entries, target, context)


def _export(repository: Path, commit: str, entries: Sequence[Entry], target: Path, context: Context) -> None:
    directories = [entry for entry in entries if entry.kind == b"tree"]
    files = [entry for entry in entries if entry.kind == b"blob" and entry.mode != 0o120000]
    links = [entry for entry in entries if entry.mode == 0o120000]
    modules = [entry for entry in entries if entry.kind == b"commit"]
    root = os.fsencode(target) + b"/"
    try:
        for entry in (*directories, *modules):
            os.mkdir(root + entry.place, 0o755)  # noqa: PTH102  (bytes: a name need not be UTF-8)
        _write_files(repository, files, root, context)
        _export_submodules(repository, commit, modules, target, context)
        # Last: as long as anything is written, no link is there that a path could lead through.
        _write_links(repository, links, root, context)
    except OSError as error:
        raise _unwritable(error) from error


def _wanted(repository: Path, commit: str, env: Mapping[str, str]) -> list[Entry]:
    """The commit's entries, parents before children, without what export-ignore leaves out."""
    entries = list(_entries(repository, commit, env))
    if not any(entry.path.split(b"/")[-1] == b".gitattributes" for entry in entries):
        return entries
    ignored = _ignored(repository, commit, entries, env)
    kept: list[Entry] = []
    for entry in entries:
        if entry.path in ignored or os.path.dirname(entry.path) in ignored:  # noqa: PTH120
            ignored.add(entry.path)
        else:
            kept.append(entry)
    return kept


def _below(root: str, entries: Sequence[Entry]) -> list[Entry]:
    """Those below the directory `root`, in its own terms."""
    path = os.fsencode(root)
    found = next((entry for entry in entries if entry.path == path), None)
    if found is None or found.kind != b"tree":
        what = "nothing" if found is None else _NO_DIRECTORY.get(found.mode, "a file")
        raise BuildFailed(
            f"The app's root is {root}, and that is {what} in this commit",
            step="root",
            hint="It must be a directory of the repository itself. Choose another with builds:set root=DIRECTORY.",
        )
    above = path + b"/"
    return [replace(entry, place=entry.path[len(above) :]) for entry in entries if entry.path.startswith(above)]


def _entries(repository: Path, commit: str, env: Mapping[str, str]) -> Iterator[Entry]:
    argv = _git(repository, "ls-tree", "-r", "-t", "-z", "--full-tree", commit)
    with _reading(argv, env) as stdout:
        for number, line in enumerate(_records(stdout)):
            if number >= _MOST_ENTRIES:
                raise BuildFailed(f"The commit has more than {_MOST_ENTRIES:,} files", step="export")
            head, path = line.split(b"\t", 1)
            mode, kind, oid = head.split(b" ")
            _check_path(path)
            yield Entry(int(mode, 8), kind, oid.decode(), path, path)


def _records(stdout: IO[bytes]) -> Iterator[bytes]:
    """NUL-terminated records, without holding them all."""
    rest = b""
    while piece := stdout.read1(_PIECE):  # type: ignore[attr-defined]  # a BufferedReader
        *whole, rest = (rest + piece).split(b"\0")
        yield from whole


def _check_path(path: bytes) -> None:
    """git's own checks refuse these at the push; nobody may reach the file system with one all the same."""
    for part in path.split(b"/"):
        if part in (b"", b".", b"..") or part.lower() in (b".git", b"git~1"):
            raise BuildFailed(f"The commit has a path that must not be written: {_name(path)}", step="export")


def _ignored(repository: Path, commit: str, entries: list[Entry], env: Mapping[str, str]) -> set[bytes]:
    """Paths with the export-ignore attribute. Attributes are read from the commit, by way of an index of our own."""
    asked = b"".join(e.path + (b"/\0" if e.kind == b"tree" else b"\0") for e in entries)
    with tempfile.TemporaryDirectory(prefix="gitpaas-") as scratch:
        env = {**env, "GIT_INDEX_FILE": f"{scratch}/index"}
        shell.capture(_git(repository, "read-tree", commit), env=env)
        argv = _git(repository, "check-attr", "--cached", "--stdin", "-z", "export-ignore")
        fields = shell.capture(argv, env=env, input=asked).split(b"\0")
    answers = zip(fields[0::3], fields[2::3], strict=False)
    return {path.rstrip(b"/") for path, value in answers if value == b"set"}


def _write_files(repository: Path, files: list[Entry], root: bytes, context: Context) -> None:
    pointers: list[bytes] = []
    with _blobs(repository, files, context.env) as blobs:
        for entry in files:
            fd = os.open(
                root + entry.place,
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o755 if entry.mode & 0o111 else 0o644,
            )
            with os.fdopen(fd, "wb", buffering=0) as file:
                start = b""
                for piece in blobs.next():
                    start = start or piece[: len(_LFS)]
                    file.write(piece)
            if start == _LFS:
                pointers.append(entry.path)
    if pointers:
        context.warn(_lfs_warning(pointers))


def _write_links(repository: Path, links: list[Entry], root: bytes, context: Context) -> None:
    with _blobs(repository, links, context.env) as blobs:
        for entry in links:
            to = b"".join(blobs.next())
            if not to or b"\0" in to:
                raise BuildFailed(f"The link {_name(entry.path)} points at nothing", step="export")
            os.symlink(to, root + entry.place)  # noqa: PTH211


def _export_submodules(repository: Path, commit: str, modules: list[Entry], target: Path, context: Context) -> None:
    if not modules:
        return
    if context.depth >= submodules.DEEPEST:
        raise BuildFailed(f"Submodules are nested more than {submodules.DEEPEST} deep", step="submodules")
    git = submodules.Git(repository, context.env, context.protocols)
    urls = git.urls(commit)
    for entry in modules:
        with tempfile.TemporaryDirectory(prefix="gitpaas-") as scratch:
            fetched = git.fetch(_name(entry.path), urls, entry.oid, Path(scratch))
            within, deeper = target / os.fsdecode(entry.place), replace(context, depth=context.depth + 1)
            _export(fetched, entry.oid, _wanted(fetched, entry.oid, context.env), within, deeper)


class _Blobs:
    """The contents that one `git cat-file --batch` hands out, in the order asked for."""

    def __init__(self, stdout: IO[bytes]) -> None:
        self._stdout = stdout
        self._left = _MOST_BYTES

    def next(self) -> Iterator[bytes]:
        """The next blob in pieces; take them all before the next call."""
        header = self._stdout.readline().split()
        if len(header) != 3:
            raise GitpaasError("The repository lacks an object of the commit", "Push the commit again.")
        size = int(header[2])
        self._left -= size
        if self._left < 0:
            raise BuildFailed(f"The commit's files are larger than {_MOST_BYTES >> 30} GiB together", step="export")
        while size:
            piece = self._stdout.read(min(size, _PIECE))
            if not piece:
                raise GitpaasError("git ended in the middle of an object", "Push the commit again.")
            size -= len(piece)
            yield piece
        self._stdout.read(1)


@contextmanager
def _blobs(repository: Path, entries: list[Entry], env: Mapping[str, str]) -> Iterator[_Blobs]:
    # The list of names is a file, not a pipe: nobody has to write it while we read.
    with tempfile.TemporaryFile() as names:
        names.write("".join(f"{entry.oid}\n" for entry in entries).encode())
        names.seek(0)
        with _reading(_git(repository, "cat-file", "--batch", "--buffer"), env, names) as stdout:
            yield _Blobs(stdout)


@contextmanager
def _reading(argv: list[str], env: Mapping[str, str], stdin: IO[bytes] | None = None) -> Iterator[IO[bytes]]:
    """A child's output as a stream. CommandFailed when it exits badly; killed when the reader gives up."""
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                argv, env=env, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                bufsize=_PIECE,
            )  # fmt: skip
        except OSError as error:
            raise CommandFailed(f"git cannot be started: {error.strerror}", code=shell.NOT_FOUND) from error
        with child:
            try:
                yield cast(IO[bytes], child.stdout)
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            errors.seek(0)
            tail = tuple(errors.read().decode("utf-8", "replace").splitlines()[-15:])
            raise CommandFailed("git could not read the commit", code=child.returncode, tail=tail)


def _git(repository: Path, *arguments: str) -> list[str]:
    return ["git", f"--git-dir={repository}", *arguments]


def _name(path: bytes) -> str:
    return ascii(os.fsdecode(path))[1:-1][:200]


def _lfs_warning(pointers: list[bytes]) -> str:
    some = ", ".join(map(_name, pointers[:3])) + (", ..." if len(pointers) > 3 else "")
    files = "1 file is a Git LFS pointer" if len(pointers) == 1 else f"{len(pointers)} files are Git LFS pointers"
    return f"{files}: {some}\nTheir content is not part of the push. Commit the files themselves, or fetch them later."


def _unwritable(error: OSError) -> GitpaasError:
    name = os.fsdecode(error.filename or b"")
    if error.errno in (errno.ENAMETOOLONG, errno.EEXIST, errno.EILSEQ, errno.ENOTDIR):
        what = ascii(name)[1:-1][-200:]
        return BuildFailed(f"The commit has a path that cannot be written here: {what}", step="export")
    return GitpaasError(
        f"The commit cannot be written: {error.strerror}", "Look at the server's disk, then push again."
    )
