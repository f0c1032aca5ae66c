"""What the pusher is told when something goes wrong: whose fault it is, what still serves, and how git is answered."""

from __future__ import annotations

import threading

import pytest
from flow import BOB, MAIN, WEB, WORKER, Flow, Images, Lines
from instances import until

from gitpaas import deploy
from gitpaas.builds import queue
from gitpaas.errors import BuildFailed, CannotStart, EngineFailed, GitpaasError, RouterFailed, ToolFailed
from gitpaas.store import Build
from gitpaas.values import RECEIVE_REASONS


@pytest.mark.parametrize(
    "fault",
    [
        ToolFailed("BuildKit does not start: no room on the disk", "Free some: ssh paas disk:prune"),
        EngineFailed("Docker Engine at unix:///x does not answer", "Is it running? docker info"),
    ],
    ids=["tool", "engine"],
)
def test_fault_of_the_platform_is_not_called_the_apps(flow: Flow, images: Images, fault: GitpaasError) -> None:
    flow.deploy()
    images.railpack.fails = fault
    lines = Lines()

    code = flow.push(flow.commit(), lines=lines)

    assert RECEIVE_REASONS[code] == "the platform failed"
    shown = lines.text.splitlines()[-3:]
    assert shown == [
        f" !     The platform failed, not your app: {fault.message}. v1 keeps serving.",
        f" !     {fault.hint}",
        " !     Whole log: ssh paas builds:output hello 2",
    ]
    assert flow.last_build().status == "failed"
    assert flow.last_build().error == f"The platform failed, not your app: {fault.message}"
    assert (flow.routed_releases(), flow.ref(MAIN)) == ({1}, flow.live.commit)


def test_fault_of_the_app_is_not_called_the_platforms(flow: Flow, images: Images) -> None:
    images.railpack.fails = BuildFailed("go build exited with 1", hint="See above.")

    assert RECEIVE_REASONS[flow.push(flow.commit())] == "build failed"

    assert " !     Build failed: go build exited with 1. Nothing is live yet.\n !     See above.\n" in flow.lines.text
    assert "platform" not in flow.lines.text


def test_instance_that_the_engine_does_not_start(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()

    def refuse(_: object) -> None:
        raise EngineFailed("starting web.1 of hello: no space left on device")

    monkeypatch.setattr(flow.platform.runtime, "start", refuse)
    assert flow.push(flow.commit()) == 13
    assert "not your app: starting web.1 of hello: no space left on device. v1 keeps serving." in flow.lines.text
    assert " !     Push the same commit again. " in flow.lines.text
    assert (flow.labels(), flow.release(2).status) == (["web.1 v1"], "failed")


def test_image_that_cannot_be_started_is_the_apps_fault(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.deploy()

    def refuse(_: object) -> None:
        raise CannotStart("The image of hello does not say what to start.", "Add a CMD to the Dockerfile.")

    monkeypatch.setattr(flow.platform.runtime, "start", refuse)
    assert RECEIVE_REASONS[flow.push(flow.commit())] == "build failed"
    assert " !     Start failed: The image of hello does not say what to start. v1 keeps serving.\n" in flow.lines.text
    assert " !     Add a CMD to the Dockerfile.\n" in flow.lines.text
    assert "platform" not in flow.lines.text


def test_what_is_to_be_typed_names_the_app(flow: Flow, images: Images) -> None:
    images.railpack.fails = BuildFailed("No file", step="build", hint="Type: ssh paas builds:set APP root=a, for APPS")

    assert flow.push(flow.commit()) == 1
    assert " !     Type: ssh paas builds:set hello root=a, for APPS\n" in flow.lines.text


def test_error_that_nobody_expected(flow: Flow, images: Images) -> None:
    images.railpack.fails = ZeroDivisionError("division by zero")
    with pytest.raises(ZeroDivisionError):
        flow.push(flow.commit())
    assert " !     The platform failed, not your app. Nothing is live yet.\n" in flow.lines.text
    assert flow.last_build().error == "The platform failed, not your app."


def test_who_follows_a_build_is_answered_like_who_began_it(flow: Flow, images: Images) -> None:
    going = threading.Event()
    images.railpack.fails = RouterFailed("No room.")
    detect = images.railpack.detect
    images.railpack.detect = lambda tree: going.wait(100) and detect(tree)  # type: ignore[method-assign,return-value]
    commit, codes, other = flow.commit(), [], Lines()

    def push(lines: Lines) -> None:
        with flow.platform.store.session():
            codes.append(flow.push(commit, lines=lines))

    first, second = (threading.Thread(target=push, args=(lines,)) for lines in (flow.lines, other))
    first.start()
    until(lambda: Build.select().exists())
    second.start()
    until(lambda: "following it" in other.text)
    going.set()
    for thread in (first, second):
        thread.join()
    assert codes == [13, 13]


def test_release_that_does_not_stay_up_is_told_of_in_the_next_push(flow: Flow) -> None:
    flow.deploy(procfile=WEB + "worker: exit 9\n")
    deploy.scale(flow.platform, flow.app, {"worker": 1}, flow.out)
    flow.reconcile(lambda: len(flow.told) >= 3)
    lines = Lines()

    assert flow.push(flow.commit(procfile=WEB + WORKER), lines=lines) == 0

    assert lines.text.splitlines()[1].startswith(
        " !     worker.1 keeps crashing (3 times in a row): ssh paas logs hello"
    )
    lines = Lines()
    flow.reconcile(lambda: flow.labels() == ["web.1 v2", "worker.1 v2"])
    assert flow.push(flow.commit(), lines=lines) == 0
    assert "crashing" not in lines.text


def test_cancelled_build_takes_back_what_it_has_begun(flow: Flow) -> None:
    flow.deploy()
    fresh = flow.commit(procfile=f"release: sleep 600\n{WEB}")
    pushing = flow.process(
        "from gitpaas.commands.receive import heed\nheed()\n"
        f"flow.lines.data.clear()\nprint(flow.push({fresh!r}), flow.lines.text)"
    )
    until(lambda: flow.last_build().status == "releasing")

    assert queue.cancel(flow.platform, flow.last_build(), BOB.name)

    said, _ = pushing.communicate(timeout=100)
    assert said.startswith("1 ")
    assert " !     Cancelled by bob. v1 keeps serving.\n" in said
    build = flow.last_build()
    assert (build.status, build.error) == ("failed", "Cancelled by bob")
    assert not queue.cancel(flow.platform, build, BOB.name)
    assert (flow.labels(), flow.held(), flow.ref(MAIN)) == (["web.1 v1"], "", flow.live.commit)
    assert flow.deploy().number == 3
