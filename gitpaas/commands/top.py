"""top: what all instances take of the machine, busiest first, live at a terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.instances import cpu, loaded, memory, uptime
from gitpaas.commands.parameters import format_option, optional_app_argument
from gitpaas.commands.table import UNSEEN, Column, cut, render
from gitpaas.instances.gauge import Gauge, Load
from gitpaas.output import Streams, amount, seconds
from gitpaas.values import Instance

_PAUSE = 2.0  # seconds between two looks
_LOOK = 0.25  # seconds until a key, a new size or a reader who has left is noticed
_LEAVES = b"qQ\x03\x04\x1b"  # q, Ctrl-C, Ctrl-D, Escape
_COLUMNS = tuple(map(Column, ("APP", "NAME", "REL", "UP", "RESTARTS", "CPU", "MEM", "CPU TIME")))

# A screen of its own without a cursor, and back to what was there before; each picture is drawn over the last.
_ENTER, _LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"
_HOME, _LINE_END, _REST = "\x1b[H", "\x1b[K\r\n", "\x1b[J"


@command("top", role="read", scope="seen")
@optional_app_argument
@click.option("--once", is_flag=True, help="One look, also at a terminal.")
@format_option
def top(call: Call, app: str | None, once: bool, style: str) -> None:
    """Show what runs by the CPU that it takes, of all apps or one; at a terminal (ssh -t) live, until q or Ctrl-C.

    CPU is that of one CPU, over the last two seconds; MEM without what could be dropped at once.
    """
    if app is not None:
        call.app(app)
    watch = _Watch(call, app)
    if style == "json":
        return call.say_json([_describe(*one) for one in watch.look().rows])
    if once or not call.console.tty:
        return call.say("\n".join(_picture(watch.look(), call.console.width)))
    with call.console.streams() as streams:
        _Live(watch, streams).run(call)
    return None


@dataclass(frozen=True)
class _Seen:
    """One look: busiest first."""

    rows: Sequence[tuple[Instance, Load | None]]
    is_blind: bool  # not all of it


class _Watch:
    """Looks again and again at what the caller may see."""

    def __init__(self, call: Call, app: str | None) -> None:
        self._call = call
        self._app = app
        self._gauge = Gauge(call.platform.runtime)

    def look(self) -> _Seen:
        seen = self._call.platform.runtime.survey(self._app)
        running = [i for i in seen.instances if i.state == "running" and self._call.may("read", i.app)]
        loads = self._gauge.read(running)
        rows = sorted(((i, loads.get(i.id)) for i in running), key=_busyness)
        return _Seen(rows, bool(seen.unseen))


class _Live:
    """A picture every few seconds, and a new one as soon as the terminal has another size."""

    def __init__(self, watch: _Watch, streams: Streams) -> None:
        self._watch = watch
        self._streams = streams
        terminal = streams.terminal
        self._size = (terminal.columns, terminal.rows) if terminal else (80, 24)
        self._is_over = False

    def run(self, call: Call) -> None:
        self._streams.listen(self._resize, self._end)
        self._streams.write(_ENTER)
        try:
            while not self._is_over:
                seen = self._watch.look()
                self._draw(seen, time.monotonic() + _PAUSE, call)
        finally:
            self._streams.write(_LEAVE)

    def _draw(self, seen: _Seen, until: float, call: Call) -> None:
        """Until it is time for the next look, or to leave."""
        drawn: tuple[int, int] | None = None
        while not self._is_over and (left := until - time.monotonic()) > 0:
            if drawn != self._size:
                drawn = self._size
                lines = [cut(line, drawn[0]) for line in _picture(seen, drawn[0], drawn[1] - 1)]
                self._streams.write("".join([_HOME, *(line + _LINE_END for line in lines), _REST]).encode())
            typed = self._streams.read(min(_LOOK, left))
            if typed is not None and (not typed or any(key in _LEAVES for key in typed)):
                self._is_over = True
            if call.console.gone():
                raise ConnectionResetError("nobody looks any more")

    def _resize(self, columns: int, rows: int) -> None:
        self._size = columns, rows

    def _end(self, _signal: int) -> None:
        self._is_over = True


def _picture(seen: _Seen, width: int, height: int | None = None) -> list[str]:
    """Lines: what all of it takes, and a table of as many as there is room for."""
    loads = [load for _, load in seen.rows if load]
    taken = 100 * sum(load.cpu or 0.0 for load in loads)
    apps = len({instance.app for instance, _ in seen.rows})
    has, held = 100 * (os.cpu_count() or 1), amount(sum(load.memory for load in loads))
    what = f"{_count(len(seen.rows), 'instance')} of {_count(apps, 'app')}"
    lines = [f"{what}: CPU {taken:.0f}% of {has}%, memory {held}", *([UNSEEN] if seen.is_blind else [])]
    room = len(seen.rows) if height is None else max(0, height - len(lines) - 2)
    if seen.rows:
        lines += render(_COLUMNS, [_row(*one) for one in seen.rows[:room]], width).splitlines()
    if len(seen.rows) > room:
        lines.append(f"and {len(seen.rows) - room} more")
    return lines


def _row(instance: Instance, load: Load | None) -> list[str]:
    spent = seconds(load.cpu_seconds) if load else "-"
    return [
        instance.app, instance.label, f"v{instance.release}", uptime(instance), str(instance.restarts),
        cpu(load), memory(load), spent,
    ]  # fmt: skip


def _describe(instance: Instance, load: Load | None) -> dict[str, Any]:
    return {
        "app": instance.app,
        "name": instance.label,
        "release": instance.release,
        "uptime": round(max(0.0, time.time() - instance.started_at), 1),
        "restarts": instance.restarts,
        **loaded(load),
    }


def _busyness(row: tuple[Instance, Load | None]) -> tuple[float, float, str, str, int]:
    instance, load = row
    busy = (-(load.cpu or 0.0), -float(load.memory)) if load else (1.0, 0.0)
    return *busy, instance.app, instance.process, instance.number


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


COMMANDS = (top,)
