"""Whose fault it is, read off what BuildKit 0.32 really says."""

from __future__ import annotations

import pytest

from gitpaas.buildkit.progress import Progress, Step
from gitpaas.buildkit.trouble import explain
from gitpaas.errors import BuildFailed, OutOfReach, ToolFailed
from gitpaas.output import Output

SOLVE = "error: failed to solve: "
SOURCE = "failed to resolve source metadata for docker.io/library/debian:x: "
DEAD = "error: failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF"


def progress(said: str, step: str | None = None, error: str = "", lines: tuple[str, ...] = ()) -> Progress:
    made = Progress(Output())
    for line in said.splitlines():
        made.feed(line)
    if step:
        made.failed = Step(step, error=error)
        made.failed.lines.extend(lines)
    return made


APP = {
    "exit": (
        SOLVE + 'process "/bin/sh -c false" did not complete successfully: exit code: 1',
        "[2/2] RUN false",
        'process "/bin/sh -c false" did not complete successfully: exit code: 1',
        "[2/2] RUN false exited with 1",
    ),
    "out of memory": (
        SOLVE + 'process "x" did not complete successfully: exit code: 137: cannot allocate memory',
        "[2/2] RUN x",
        'process "x" did not complete successfully: exit code: 137: cannot allocate memory',
        "[2/2] RUN x exited with 137",
    ),
    "no such image": (
        SOLVE + f"debian:x: {SOURCE}docker.io/library/debian:x: not found",
        None,
        "",
        "debian:x does not",
    ),
    "private image": (
        SOLVE + f"debian:x: {SOURCE}pull access denied, repository does not exist or may require authorization: "
        "server message: insufficient_scope: authorization failed",
        None,
        "",
        "does not exist, or may not be pulled",
    ),
    "no such file": (
        SOLVE + 'failed to compute cache key: failed to calculate checksum of ref ab::cd: "/no": not found',
        "[2/2] COPY no /x",
        "",
        "/no is not in the repository",
    ),
    "no such secret": (SOLVE + "secret TOKEN: not found", "[2/2] RUN x", "", "The config var TOKEN is not set"),
    "parse error": (
        "Dockerfile:2\n" + SOLVE + "dockerfile parse error on line 2: unknown instruction: RUM (did you mean RUN?)",
        None,
        "",
        "dockerfile parse error on line 2",
    ),
    "no such stage": (SOLVE + 'target stage "foo" could not be found', None, "", 'target stage "foo"'),
    "host network": (
        SOLVE + "failed to load LLB: network.host is not allowed",
        None,
        "",
        "network.host is not allowed",
    ),
    "other frontend": (
        SOLVE + "'evil/frontend:1' is not an allowed gateway source",
        None,
        "",
        "The syntax evil/frontend:1 is not allowed here",
    ),
    "another app's image": (
        SOLVE + 'source "docker-image://r:1/gitpaas/x:build-1" denied by policy',
        None,
        "",
        "No build may take what is other apps'",
    ),
    "a shell that is not there": (
        SOLVE + 'process "/bin/sh -c x" did not complete successfully: exit code: 1',
        "[1/1] RUN x",
        'process "/bin/sh -c x" did not complete successfully: exit code: 1',
        "[1/1] RUN x exited with 1",
    ),
}


@pytest.mark.parametrize(("said", "step", "error", "told"), APP.values(), ids=APP)
def test_the_apps_fault(said: str, step: str | None, error: str, told: str) -> None:
    trouble = explain(progress(said, step, error))
    assert isinstance(trouble.error, BuildFailed)
    assert told in trouble.error.message
    assert trouble.error.step == (step or "build")
    assert not trouble.passing


OURS = {
    "disk": (SOLVE + "failed to prepare x: mkdir /r/snapshots/new: no space left on device", "disk is full", False),
    "daemon": (DEAD, "BuildKit ended in the middle", True),
    "no daemon": ('error: failed to dial "unix:///x": make sure buildkitd is running', "BuildKit ended", True),
    "network of the daemon": (SOLVE + "failed to setup network: plugin type=bridge: failed", "cannot run", False),
    "name": (
        SOLVE + f'{SOURCE}failed to do request: Head "https://x/v2/": dial tcp: lookup x: no such host',
        "debian:x",
        True,
    ),
    "overload": (
        SOLVE + f"{SOURCE}unexpected status from HEAD request to https://x: 503 Service Unavailable",
        "debian:x",
        True,
    ),
    "rate": (
        SOLVE + f"{SOURCE}unexpected status from HEAD request to https://x: 429 Too Many Requests",
        "debian:x",
        True,
    ),
    "reset": (
        SOLVE + "failed to copy: read tcp 1.2.3.4:1->5.6.7.8:443: read: connection reset by peer",
        "registry",
        True,
    ),
    "tls": (SOLVE + f"{SOURCE}net/http: TLS handshake timeout", "debian:x", True),
    "silence": ("", "it said nothing", False),
}


@pytest.mark.parametrize(("said", "told", "passes"), OURS.values(), ids=OURS)
def test_the_platforms_fault(said: str, told: str, passes: bool) -> None:
    trouble = explain(progress(said))
    assert isinstance(trouble.error, ToolFailed)
    assert told in trouble.error.message
    assert trouble.passing is passes
    assert isinstance(trouble.error, OutOfReach) is (passes and "BuildKit ended" not in told)


def test_what_a_step_of_the_app_could_not_fetch_is_told_as_that() -> None:
    trouble = explain(progress(SOLVE + "failed to copy: read tcp 1.2.3.4:443: connection reset by peer", "FROM x"))
    assert isinstance(trouble.error, BuildFailed)
    assert isinstance(trouble.error, OutOfReach)
    assert trouble.passing


def test_an_address_in_the_dockerfile_that_does_not_answer_is_tried_again_and_then_the_apps_fault() -> None:
    said = SOLVE + 'failed to load cache key: Get "http://x/": dial tcp 1.2.3.4:80: connect: connection refused'
    trouble = explain(progress(said, "[2/2] ADD http://x/ /y"))
    assert isinstance(trouble.error, BuildFailed)
    assert trouble.passing


def test_a_frontend_that_asks_to_be_tried_again_is() -> None:
    error = 'process "/railpack frontend" did not complete successfully: exit code: 75'
    assert explain(progress(SOLVE + error, "frontend", error)).passing


def test_the_place_in_the_dockerfile_and_the_steps_last_lines_are_shown() -> None:
    place = "Dockerfile:2\n   1 |     FROM x\n   2 | >>> COPY no /x\n"
    ruler = "--------------------\n"
    copy = explain(
        progress(place + ruler + SOLVE + 'failed to calculate checksum of ref a: "/no": not found', "[2/2] COPY")
    )
    assert isinstance(copy.error, BuildFailed)
    assert copy.error.tail == copy.unseen == tuple(place.splitlines())
    error = "did not complete successfully: exit code: 2"
    run = explain(progress(place + SOLVE + error, "[2/2] RUN x", error, ("a", "b")))
    assert isinstance(run.error, BuildFailed)
    assert run.error.tail == ("a", "b")
    assert run.unseen == (), "its output was shown as it ran"


def test_what_pip_says_is_understood_as_elsewhere() -> None:
    error = "did not complete successfully: exit code: 1"
    lines = ("npm ERR! code E404", "npm ERR! 404 Not Found")
    trouble = explain(progress(SOLVE + error, "[2/2] RUN npm ci", error, lines))
    assert "these dependencies do not exist" in trouble.error.message
