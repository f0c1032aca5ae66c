"""top: once, and live at a terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest
from callers import OPERATOR, Caller

from gitpaas import commands
from gitpaas.output import Console, Terminal
from gitpaas.values import Instance, Usage

MB = 1024 * 1024


def instance(app: str, process: str = "web", number: int = 1) -> Instance:
    key = f"{app}-{process}-{number}"
    return Instance(key, app, 3, process, number, "running", None, time.time() - 200)


@pytest.fixture
def busy(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Two apps; an instance of the second takes a whole CPU."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    for app in ("hello", "other"):
        operator("apps:create", app)
    runtime = operator.platform.runtime
    runtime.instances += [instance("hello"), instance("hello", "worker", 2), instance("other")]
    runtime.usages = [Usage(1 * MB, 1.0, 10.0), Usage(2 * MB, 1.0, 10.0), Usage(3 * MB, 1.0, 10.0)]
    runtime.usages += [Usage(10 * MB, 1.0, 11.0), Usage(20 * MB, 1.25, 11.0), Usage(30 * MB, 2.0, 11.0)]
    return operator


def test_the_busiest_first(busy: Caller) -> None:
    assert busy("top").out == (
        "3 instances of 2 apps: CPU 125% of 200%, memory 60 MB\n"
        "APP    NAME      REL  UP  RESTARTS  CPU   MEM  CPU TIME\n"
        "other  web.1     v3   3m  0         100%  30M  2.0s\n"
        "hello  worker.2  v3   3m  0         25%   20M  1.2s\n"
        "hello  web.1     v3   3m  0         0.0%  10M  1.0s\n"
    )


def test_of_one_app_and_as_json(busy: Caller) -> None:
    busy.platform.runtime.usages = []
    found = busy("top", "hello", "--format", "json").json
    assert [(one["app"], one["name"]) for one in found] == [("hello", "web.1"), ("hello", "worker.2")]
    assert set(found[0]) == {
        "app", "name", "release", "uptime", "restarts", "memory", "cpu_percent", "cpu_seconds",
    }  # fmt: skip
    assert busy("top", "nothere").code == 1


def test_everybody_sees_what_they_may(busy: Caller) -> None:
    shown = busy.over_ssh(None, other="read")("top").out
    assert "1 instance of 1 app:" in shown
    assert "other  web.1" in shown
    assert "hello" not in shown
    assert busy.over_ssh(None, other="read")("top", "hello").code == 3
    assert busy.over_ssh(None)("top").out.startswith("0 instances of 0 apps: ")


def test_what_cannot_be_seen_is_told(busy: Caller) -> None:
    busy.platform.runtime.unseen = frozenset({"image"})
    assert "Docker Engine does not answer" in busy("top").out


@dataclass
class Screen:
    """Somebody at a terminal. `keys` are typed after so many pictures."""

    columns: int = 60
    rows: int = 24
    pictures: int = 1
    keys: bytes = b"q"
    written: bytes = b""
    sizes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def terminal(self) -> Terminal:
        return Terminal("xterm", self.columns, self.rows)

    def read(self, timeout: float) -> bytes | None:
        if self.sizes:
            self.on_resize(*self.sizes.pop(0))
            return None
        if self.written.count(b"\x1b[H") >= self.pictures:
            return self.keys
        time.sleep(min(timeout, 0.01))
        return None

    def write(self, data: bytes, *, error: bool = False) -> None:
        self.written += data

    def listen(self, on_resize: Callable[[int, int], None], on_signal: Callable[[int], None]) -> None:
        self.on_resize, self.on_signal = on_resize, on_signal

    def drawn(self) -> list[list[str]]:
        """The lines of each picture."""
        text = re.sub(r"\x1b\[\?[0-9]+[hl]|\x1b\[K|\x1b\[J", "", self.written.decode())
        return [picture.split("\r\n")[:-1] for picture in text.split("\x1b[H")[1:]]


def at(busy: Caller, screen: Screen, *argv: str, gone: Callable[[], bool] = lambda: False) -> int:
    console = Console(
        lambda text: None, lambda text: None, lambda: b"", gone, screen.columns, True, lambda: nullcontext(screen)
    )
    return commands.execute(busy.platform, ["top", *argv], OPERATOR, console)


@pytest.mark.parametrize("keys", [b"q", b"xQ", b"\x03", b"\x04", b""])
def test_live_until_somebody_leaves(busy: Caller, keys: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.commands.top._PAUSE", 0.05)
    screen = Screen(keys=keys, pictures=3)
    assert at(busy, screen) == 0
    assert screen.written.startswith(b"\x1b[?1049h\x1b[?25l\x1b[H")
    assert screen.written.endswith(b"\x1b[?25h\x1b[?1049l"), "the terminal is as it was"
    assert len(screen.drawn()) == 3
    assert screen.drawn()[0][2].startswith("other  web.1")


def test_other_keys_are_nothing_to_it(busy: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.commands.top._PAUSE", 0.05)
    screen = Screen(keys=b"x", pictures=1)
    looks: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Screen, "read", lambda self, timeout: looks.append(1) or (b"q" if len(looks) > 5 else b"x"))
        assert at(busy, screen) == 0
    assert len(looks) == 6


def test_a_picture_is_as_large_as_the_terminal_at_any_time(busy: Caller) -> None:
    runtime = busy.platform.runtime
    runtime.instances += [instance("other", "worker", number) for number in range(1, 50)]
    runtime.usages = []
    screen = Screen(columns=40, rows=12, sizes=[(20, 8), (100, 60)], pictures=3)
    assert at(busy, screen) == 0
    first, small, large = screen.drawn()
    assert [len(first), len(small), len(large)] == [11, 7, 54]
    assert max(map(len, small)) <= 20
    assert first[-1] == "and 44 more"


def test_a_reader_who_has_left_ends_it(busy: Caller) -> None:
    screen = Screen(pictures=99)
    assert at(busy, screen, gone=lambda: True) == 141


def test_once_also_at_a_terminal(busy: Caller) -> None:
    screen = Screen()
    assert at(busy, screen, "--once") == 0
    assert screen.written == b""
