"""What the pusher sees: the buildpack prefixes that people's eyes and scripts know, and duration in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

_WARNING = " !     "
_WAIT = 0.5  # seconds; a shorter one for its turn nobody has noticed
_SHOWN = 0.02  # seconds; a step that had nothing to do is not worth a word


def _no_streams() -> AbstractContextManager[Streams]:
    raise ConnectionError("these streams are text only")


class Sink(Protocol):
    """Where finished bytes go: a build's log file, the hook's stdout, a list in a test."""

    def write(self, data: bytes) -> None: ...


class Output:
    """Writes step, headline, detail and warning lines. Safe from several threads; never raises for a gone reader."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = list(sinks)
        self._lock = threading.Lock()

    def with_sink(self, sink: Sink) -> Output:
        """One that writes to `sink` too, for the time of a step."""
        return Output(*self._sinks, sink)

    def step(self, text: str) -> None:
        self.raw(f"-----> {text}\n")

    def headline(self, text: str) -> None:
        self.raw(f"=====> {text}\n")

    def detail(self, text: str) -> None:
        for line in text.splitlines() or [""]:
            self.raw(f"       {line}\n")

    def warn(self, text: str) -> None:
        for line in text.splitlines() or [""]:
            self.raw(f"{_WARNING}{line}\n")

    def raw(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        with self._lock:
            for sink in self._sinks:
                sink.write(data)


@dataclass(frozen=True)
class Terminal:
    """What somebody sits at: its kind (TERM) and its size in characters."""

    kind: str
    columns: int
    rows: int


class Streams(Protocol):
    """The streams of whoever typed a command, as bytes: for a program that has them to itself. One thread reads, one
    writes."""

    terminal: Terminal | None  # None: pipes or files

    def read(self, timeout: float) -> bytes | None:
        """What has come; None when nothing has within `timeout` seconds, empty at the end."""

    def write(self, data: bytes, *, error: bool = False) -> None:
        """Waits until the reader takes it. ConnectionError when nobody reads any more."""

    def require_reader(self) -> None:
        """ConnectionError when nobody reads any more: BrokenPipeError when only standard output is closed."""

    def listen(self, on_resize: Callable[[int, int], None], on_signal: Callable[[int], None]) -> None:
        """Be told of each new size of the terminal (columns, rows), and of each signal that is to be passed on."""


@dataclass(frozen=True)
class Console:
    """Where one command reads and writes: the operator's terminal or an SSH channel; the command cannot tell."""

    out: Callable[[str], None]
    err: Callable[[str], None]
    read: Callable[[], bytes]  # all of standard input, to its end
    gone: Callable[[], bool]  # the reader has left: stop following
    width: int = 80
    tty: bool = False
    streams: Callable[[], AbstractContextManager[Streams]] = _no_streams  # to have them to oneself for the body


class Laps:
    """How long each step took, and the wait for the first; as text "21.4s (build 18.9s, start 1.1s)"."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._waited: float | None = None
        self._laps: list[tuple[str, float]] = []

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        if self._waited is None:
            self._waited = begin - self._begin
        yield
        self._laps.append((name, time.monotonic() - begin))

    def __str__(self) -> str:
        waits = [("waited", self._waited)] if self._waited and self._waited >= _WAIT else []
        inner = ", ".join(f"{name} {seconds(value)}" for name, value in waits + self._laps if value >= _SHOWN)
        whole = seconds(time.monotonic() - self._begin)
        return f"{whole} ({inner})" if inner else whole


def warning(message: str, hint: str | None = None, end: str = "\n") -> str:
    """The same for who has no Output: an error and what to do next, as whole lines."""
    return "".join(f"{_WARNING}{line}{end}" for line in (*message.splitlines(), *(hint or "").splitlines()))


def plain(text: str) -> str:
    """Without control characters: what others wrote must not move the reader's cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def signed(person: str, key: str | None) -> str:
    """'alice, key "laptop"'; the person alone where the key's name says no more."""
    return person + (f', key "{key}"' if key and key != person else "")


def seconds(value: float) -> str:
    """0.84 -> "0.8s", 75 -> "1m15s": what fits in a headline."""
    if value < 60:
        return f"{value:.1f}s" if value >= 0.095 else f"{value:.2f}s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def amount(count: float) -> str:
    """1610612736 bytes -> "1.5 GB", in units of 1024 as the settings have them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit == "GB" else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"
