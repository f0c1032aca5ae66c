"""What `buildctl --progress rawjson` tells, as live steps: each once, its output under it, how long it took.

A line of JSON is a SolveStatus of BuildKit (client/graph.go): steps ("vertexes") as they start and end, layers on
their way ("statuses"), output ("logs") and advice of the Dockerfile frontend ("warnings"). What is no JSON is what
buildctl itself says: the cause of its failure.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gitpaas.output import Output, seconds

_SHOWN = 0.1  # seconds; a shorter step is not timed
_SLOW = 1.0  # seconds; what is shown only when it takes long
_PAUSE = 5.0  # seconds between two words on a download
_TAIL = 200  # lines of a step that are remembered
_LAST_WORDS = 10  # lines
_COMPLAINT = 50  # lines of buildctl's own
_LONGEST = 160  # characters of a step's name
_MOST = 4 * 1024 * 1024  # characters of output handed on of one build: they go to a disk and to people
_ADVICE = 5  # hints on how to write a Dockerfile better
_MEGABYTE = 1_000_000

# What the frontends and BuildKit do for themselves.
_INTERNAL = re.compile(
    r"\[(internal|auth|railpack)\]|load(ing)? |resolve image config |importing cache |exporting (to|cache)"
)
_LABEL = re.compile(r"\[[^\]]*\d+/\d+\]")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")
_CANCELLED = re.compile(r"context canceled|Canceled desc", re.IGNORECASE)  # since another step has failed


@dataclass
class Step:
    """One step of the build. `name` as people know it: "[2/4] RUN pip install -r requirements.txt"."""

    name: str
    error: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    partial: str = ""  # of a line
    taken: float = 0.0  # seconds, all stretches of those that start several times
    started: bool = False
    cached: bool = False  # it may start all the same, when its result is fetched

    @property
    def label(self) -> str:
        """What stands for it on later lines."""
        match = _LABEL.match(self.name)
        return match[0] if match else f"{self.name}:"

    @property
    def is_internal(self) -> bool:
        return _INTERNAL.match(self.name) is not None


class Progress:
    """Feed it the lines that buildctl writes to its standard error, then finish()."""

    def __init__(self, out: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._steps: dict[str, Step] = {}
        self._awaited: list[Step] = []  # sources that may yet start again: done when a step uses them
        self.current: Step | None = None  # whose lines come last
        self._spoke = clock()
        self._left = _MOST
        self._advice: dict[str, None] = {}
        self.failed: Step | None = None
        self.complaint: deque[str] = deque(maxlen=_COMPLAINT)

    def feed(self, line: str) -> None:
        status = _parse(line)
        if status is None:
            self.complaint.append(line)
            return
        for vertex in status.get("vertexes") or ():
            self._step(vertex)
        for layer in status.get("statuses") or ():
            self._download(layer)
        for log in status.get("logs") or ():
            self._log(log)
        for warning in status.get("warnings") or ():
            self._advice[_decoded(warning.get("short")).strip()] = None

    def finish(self) -> None:
        """Show what is still held back."""
        for step in self._steps.values():
            self._flush(step)
        if self.failed and self.failed is not self.current and not self.failed.is_internal:
            self._show_again(self.failed)
        for text in list(self._advice)[:_ADVICE]:
            self._out.detail(f"Advice: {text}")

    def _show_again(self, failed: Step) -> None:
        """What went wrong comes last, whatever else was running."""
        self._out.detail(f"{failed.label} ...")
        for line in list(failed.lines)[-_LAST_WORDS:]:
            self._out.detail(f"  {line}")

    def _step(self, vertex: dict[str, Any]) -> None:
        step = self._steps.setdefault(vertex["digest"], Step(_readable(vertex.get("name", ""))))
        if vertex.get("started") and not step.started:
            self._start(step, [self._steps[key] for key in vertex.get("inputs") or () if key in self._steps])
            self._show(step, cached=bool(vertex.get("cached")))
        if vertex.get("error"):
            self._flush(step)
            self._fail(step, vertex["error"])
        elif vertex.get("completed"):
            self._complete(step, vertex)

    def _start(self, step: Step, inputs: list[Step]) -> None:
        step.started = True
        for source in inputs:
            if source in self._awaited:
                self._awaited.remove(source)
                self._done(source)

    def _show(self, step: Step, *, cached: bool) -> None:
        step.cached = cached
        if not step.is_internal:
            self._out.detail(f"{step.name} CACHED" if cached else step.name)
            self.current = step

    def _complete(self, step: Step, vertex: dict[str, Any]) -> None:
        self._flush(step)
        step.taken += _between(vertex.get("started"), vertex["completed"])
        if vertex.get("inputs") or step.is_internal:
            self._done(step)
        elif step not in self._awaited:
            self._awaited.append(step)

    def _done(self, step: Step) -> None:
        if step.is_internal:
            if step.taken >= _SLOW:
                self._out.detail(f"{step.name.removeprefix('[internal] ')}: {seconds(step.taken)}")
        elif step.taken >= _SHOWN and not step.cached:
            self._out.detail(f"{step.label} done in {seconds(step.taken)}")
        step.taken = 0.0

    def _fail(self, step: Step, error: str) -> None:
        step.error = error
        if self.failed is None and not _CANCELLED.search(error):
            self.failed = step

    def _download(self, status: dict[str, Any]) -> None:
        """A word on a large layer now and then, so that a long pull does not look dead."""
        step = self._steps.get(status.get("vertex", ""))
        if step is None or step.is_internal or not status.get("total") or self._clock() < self._spoke + _PAUSE:
            return
        self._spoke = self._clock()
        done, total = (round(status.get(key, 0) / _MEGABYTE) for key in ("current", "total"))
        self._out.detail(f"{step.label} {done} of {total} MB")

    def _log(self, log: dict[str, Any]) -> None:
        step = self._steps.get(log.get("vertex", ""))
        if step is None:
            return
        *whole, step.partial = (step.partial + _decoded(log.get("data"))).split("\n")
        for line in whole:
            self._line(step, line)

    def _flush(self, step: Step) -> None:
        if step.partial:
            partial, step.partial = step.partial, ""
            self._line(step, partial)

    def _line(self, step: Step, line: str) -> None:
        line = line.rstrip("\r").rpartition("\r")[2]  # of a progress bar the last state
        step.lines.append(line)
        self._left -= len(line) + 1
        if self._left < 0:
            if self._left + len(line) + 1 >= 0:
                self._out.detail("... the rest is left out: it is more than anybody would read ...")
            return
        if self.current is not step:
            self.current = step
            self._out.detail(f"{step.label} ...")
        self._spoke = self._clock()
        self._out.detail(f"  {line}")


def _parse(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        status = json.loads(line)
    except ValueError:
        return None
    return status if isinstance(status, dict) else None


def _readable(name: str) -> str:
    """On one line, without digests, and not for ever."""
    text = " ".join(_DIGEST.sub("", name).replace("docker-image://", "FROM ").split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _decoded(data: str | None) -> str:
    return base64.b64decode(data or "").decode("utf-8", "replace")


def _between(started: str | None, completed: str) -> float:
    if started is None:
        return 0.0
    return max(0.0, (datetime.fromisoformat(completed) - datetime.fromisoformat(started)).total_seconds())
