"""What people see of a build, from what BuildKit really wrote (tests/rawjson; long digests shortened)."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from gitpaas.buildkit.progress import Progress
from gitpaas.output import Output

RECORDED = Path(__file__).parent.parent / "rawjson"


class Screen:
    """What the pusher sees."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> None:
        self.text += data.decode()


def played(name: str, **more: object) -> tuple[str, Progress]:
    screen = Screen()
    progress = Progress(Output(screen), **more)
    for line in (RECORDED / f"{name}.jsonl").read_text().splitlines():
        progress.feed(line)
    progress.finish()
    return screen.text, progress


def fed(*statuses: dict[str, object], clock: object = None) -> tuple[str, Progress]:
    screen = Screen()
    progress = Progress(Output(screen), **({"clock": clock} if clock else {}))
    for status in statuses:
        progress.feed(json.dumps(status))
    progress.finish()
    return screen.text, progress


def vertex(name: str, digest: str = "a", **more: object) -> dict[str, object]:
    return {"vertexes": [{"digest": digest, "name": name, "started": "2026-01-01T00:00:00.123456789Z", **more}]}


def log(text: str | bytes, digest: str = "a") -> dict[str, object]:
    data = text.encode() if isinstance(text, str) else text
    return {"logs": [{"vertex": digest, "stream": 1, "data": base64.b64encode(data).decode()}]}


def test_a_cold_build() -> None:
    text, progress = played("cold")
    run = (
        'RUN --mount=type=secret,id=GREETING,env=GREETING echo "one"; sleep 1; '
        """echo "two $(echo **** | wc -c)" >&2; printf 'partial'"""
    )
    assert text.splitlines() == [
        "       [base 1/5] FROM docker.io/library/python:3.11-slim",
        "       [base 1/5] done in 2.1s",
        "       [base 2/5] RUN dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null",
        "       [base 2/5] done in 1.3s",
        "       [base 3/5] WORKDIR /app",
        "       [base 4/5] COPY . .",
        f"       [base 5/5] {run}",
        "         one",
        "         two 6",
        "         partial",
        "       [base 5/5] done in 1.1s",
        "       exporting to docker image format: 7.0s",
    ]
    assert progress.failed is None


def test_what_is_cached_says_so() -> None:
    text, _ = played("one-line-changed")
    assert "       [base 3/5] WORKDIR /app CACHED\n" in text
    assert "       [base 4/5] COPY . .\n" in text


def test_a_cached_step_whose_result_is_fetched_is_told_once() -> None:
    cached = vertex("[2/3] RUN x", inputs=["z"], completed="2026-01-01T00:00:00.2Z", cached=True)
    fetched = vertex("[2/3] RUN x", inputs=["z"], completed="2026-01-01T00:00:03Z")
    assert fed(cached, vertex("[2/3] RUN x", inputs=["z"]), fetched)[0] == "       [2/3] RUN x CACHED\n"


def test_of_steps_at_the_same_time_each_line_is_told_whose_it_is_and_the_one_at_fault_is_found() -> None:
    text, progress = played("parallel-failure")
    assert text.splitlines()[-4:] == ["       [b 2/2] ...", "         working", "       [a 2/2] ...", "         a-dies"]
    assert progress.failed
    assert progress.failed.name == "[a 2/2] RUN sleep 1; echo a-dies; exit 3"
    assert list(progress.failed.lines) == ["a-dies"]
    assert progress.complaint[-1].startswith("error: failed to solve: process")


def test_the_step_at_fault_comes_last_whatever_else_was_running() -> None:
    text, _ = fed(
        vertex("[a 2/2] RUN x", "a"),
        vertex("[b 2/2] RUN y", "b"),
        log("the cause\n", "a"),
        log("busy\n", "b"),
        vertex("[a 2/2] RUN x", "a", error="exit code: 1"),
    )
    assert text.splitlines()[-4:] == ["       [b 2/2] ...", "         busy", "       [a 2/2] ...", "         the cause"]


def test_a_daemon_that_dies_leaves_nobody_at_fault() -> None:
    _, progress = played("daemon-killed")
    assert progress.failed is None
    assert "error reading from server: EOF" in progress.complaint[-1]


def test_railpacks_steps_have_names_and_no_numbers() -> None:
    text, _ = played("railpack")
    assert "       FROM ghcr.io/railwayapp/railpack-builder:mise-2026.3.17\n" in text
    assert "       install apt packages: jq\n         Get:1 " in text
    assert "       install apt packages: jq: done in 11.2s\n" in text
    assert "secrets hash" not in text
    assert "sha256" not in text


def test_a_line_arrives_in_pieces_and_a_progress_bar_in_its_last_state() -> None:
    text, _ = fed(vertex("[1/1] RUN x"), log("a" + "\u00e9"[:0]), log("b\nlong: 10%\rlong: 100%\r\n"), log("end"))
    assert text.splitlines()[1:] == ["         ab", "         long: 100%", "         end"]


def test_a_slow_internal_step_is_shown_when_it_is_done_and_a_quick_one_never() -> None:
    slow = vertex("[internal] load build context", completed="2026-01-01T00:00:03.5Z")
    quick = vertex("[internal] load .dockerignore", "b", completed="2026-01-01T00:00:00.2Z")
    assert fed(slow, quick)[0] == "       load build context: 3.4s\n"


def test_a_long_pull_gives_a_sign_of_life() -> None:
    now = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    layer = {"vertex": "a", "total": 120_000_000, "current": 45_000_000}
    started = vertex("[1/2] FROM debian")
    text, _ = fed(started, {"statuses": [layer]}, {"statuses": [layer]}, {"statuses": [layer]}, clock=lambda: next(now))
    assert text.splitlines()[1:] == ["       [1/2] 45 of 120 MB"]


def test_more_than_anybody_would_read_is_left_out_but_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitpaas.buildkit.progress._MOST", 10)
    text, progress = fed(
        vertex("[1/1] RUN x"), log("12345678\nnever\nshown\n"), vertex("[1/1] RUN x", error="exit code: 1")
    )
    assert text.count("left out") == 1
    assert "never" not in text
    assert progress.failed
    assert list(progress.failed.lines) == ["12345678", "never", "shown"]


def test_advice_comes_last_and_is_not_endless() -> None:
    warnings = [{"short": base64.b64encode(f"Rule{n}: do better".encode()).decode()} for n in (1, 1, 2, 3, 4, 5, 6)]
    text, _ = fed({"warnings": warnings}, vertex("[1/1] RUN x"))
    assert text.splitlines()[-5:] == [f"       Advice: Rule{n}: do better" for n in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    "line", ["", "{", '{"a"', "[]", "null", '{"vertexes":null}', '{"logs":[{"vertex":"unknown","data":"eA=="}]}']
)
def test_odd_lines_do_no_harm(line: str) -> None:
    screen = Screen()
    progress = Progress(Output(screen))
    progress.feed(line)
    progress.finish()
    assert screen.text == ""


def test_a_name_of_many_lines_becomes_one_and_ends() -> None:
    text, _ = fed(vertex("[1/1] RUN <<EOF\n" + "echo x\n" * 100))
    assert text.count("\n") == 1
    assert text.endswith("...\n")
    assert len(text) < 180
