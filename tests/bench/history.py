"""Repositories to push: the same ones in every run, and of the shape of a real history.

The measure is this project's own: a file has 7 KB, a commit 390 bytes with its message, and a commit that changes a
file puts 11.6 new lines into it, in three places or four; an object takes 440 bytes of the pack. Here they are 7 KB,
350 bytes, 11.6 lines in three places, and 400 bytes of the pack. How many bytes there are for each object matters:
they are what a server's transport costs.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

_LINES = 120  # of a file
_PLACES = 3  # in a file that a commit changes
_FEWER = 0.3  # lines at a place: 3.9 on average, most of them shorter, a few long
_START, _BETWEEN = 1_700_000_000, 3607  # seconds: the first commit, and from one to the next
_BODY = (0, 0, 1, 2, 3)  # lines that a commit's message has beside its first


def write_history(path: Path, *, commits: int, files: int) -> None:
    """A first commit of all files, in folders of 50, then commits that each change two of them."""
    text = _Text(f"{commits} {files}")
    names = [f"dir{number % 12}/file{number}.txt" for number in range(files)]
    contents = {name: text.lines(_LINES) for name in names}

    def stream() -> Iterator[str]:
        for number in range(commits):
            yield text.commit(_START + number * _BETWEEN)
            for name in names if number == 0 else text.chance.sample(names, 2):
                text.change(contents[name])
                blob = "\n".join(contents[name]) + "\n"
                yield f"M 100644 inline {name}\ndata {len(blob)}\n{blob}\n"

    _import_into(path, (piece.encode() for piece in stream()))
    subprocess.run(["git", "repack", "-adfq"], cwd=path, check=True)


def write_random(path: Path, size: int) -> None:
    """One commit of one file that neither compresses nor has a delta."""
    chance = random.Random(size)
    head = "commit refs/heads/main\ncommitter A <a@example.com> 1700000000 +0000\ndata 3\none\n"
    pieces = (chance.randbytes(10_000_000) for _ in range(size // 10_000_000))
    _import_into(path, chain([f"{head}M 100644 inline big\ndata {size}\n".encode()], pieces, [b"\n"]))


class _Text:
    """Words that nobody means, by the same dice in every run."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = ["".join(self.chance.choices(letters, k=self.chance.randint(2, 9))) for _ in range(2000)]
        pairs = zip(self._words[0::70], self._words[1::70], strict=False)
        self._people = [f"{first.title()} {last.title()} <{first}@{last}.example.com>" for first, last in pairs]

    def lines(self, count: int) -> list[str]:
        return [" ".join(self.chance.choices(self._words, k=9)) for _ in range(count)]

    def commit(self, seconds: int) -> str:
        """The head of a commit for git fast-import."""
        first, *body = self.lines(1 + self.chance.choice(_BODY))
        message = "\n".join([first, "", *body] if body else [first]) + "\n"
        who = self.chance.choice(self._people)
        written = seconds - self.chance.randrange(_BETWEEN * 24)
        return (
            f"commit refs/heads/main\nauthor {who} {written} +0000\ncommitter {who} {seconds} +0000\n"
            f"data {len(message)}\n{message}"
        )

    def change(self, lines: list[str]) -> None:
        for _ in range(_PLACES):
            start = self.chance.randrange(len(lines))
            count = min(1 + int(self.chance.expovariate(_FEWER)), len(lines) - start)
            lines[start : start + count] = self.lines(count)


def _import_into(path: Path, stream: Iterable[bytes]) -> None:
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
    # As a pack, whatever its size: else the client compresses everything anew for each push, which is not our matter.
    argv = ["git", "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"]
    with subprocess.Popen(argv, cwd=path, stdin=subprocess.PIPE) as process:
        assert process.stdin
        for piece in stream:
            process.stdin.write(piece)
    if process.returncode:
        raise SystemExit("git fast-import failed")
