"""Domains between database and routing table: killed in between, by hand, many at once, another base domain."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import replace

import pytest
from flow import ALICE, WORKER, Flow
from instances import until

from gitpaas import apps, locks
from gitpaas.apps import aliases, domains
from gitpaas.errors import NotFound, RouterFailed
from gitpaas.instances.reconcile import Reconciler
from gitpaas.router.caddy import CaddyRouter
from gitpaas.store import App, Domain

HELLO = "hello.localhost"

DIE = """
from gitpaas import apps
from gitpaas.apps import aliases, domains
def dies(platform):
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(5)
aliases.settle = dies
{call}
"""


def linked(flow: Flow) -> Mapping[str, str]:
    """As another process finds it."""
    return CaddyRouter(flow.config.routes).aliases()


@pytest.mark.parametrize(
    ("call", "left"),
    [
        ("domains.add(flow.platform, flow.app, ['new.test'], flows.ALICE)", {"old.test", "new.test"}),
        ("domains.remove(flow.platform, flow.app, ['old.test'])", set()),
        ("apps.destroy(flow.platform, flow.app)", set()),
    ],
    ids=["add", "remove", "destroy"],
)
def test_killed_between_the_database_and_the_routing_table(flow: Flow, call: str, left: set[str]) -> None:
    domains.add(flow.platform, flow.app, ["old.test"], ALICE)

    dying = flow.process(DIE.format(call=call))
    dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL
    assert linked(flow) == {"old.test": HELLO}

    flow.reconcile()
    assert linked(flow) == dict.fromkeys(left, HELLO)


def test_what_people_break_by_hand_is_mended(flow: Flow) -> None:
    domains.add(flow.platform, flow.app, ["gone.test", "wrong.test", "*.good.test"], ALICE)
    right = dict(linked(flow))
    flow.reconcile()
    folder = flow.config.routes / ".aliases"
    (folder / "gone.test").unlink()
    (folder / "wrong.test").unlink()
    (folder / "wrong.test").symlink_to("/etc")
    (folder / "_.left.test").symlink_to("../hello.localhost")
    (folder / ".new").symlink_to("../hello.localhost")

    until(lambda: flow.reconciler.run_once() or linked(flow) == right)

    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    until(lambda: flow.reconciler.run_once() or linked(flow) == right)


def test_what_cannot_be_mended_keeps_the_rest_from_nothing(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    (flow.config.routes / ".aliases").mkdir()
    (flow.config.routes / ".aliases" / "a.test").mkdir()
    for name in ("a.test", "b.test"):
        Domain.create(app=flow.app, name=name, by="alice")

    flow.deploy()
    flow.crash(flow.running()[0])
    flow.reconcile(lambda: flow.routed_releases() == {1})
    assert "The route of a.test cannot be changed" in caplog.text
    assert linked(flow) == {"b.test": HELLO}


def test_a_table_of_names_that_is_none_is_told_and_keeps_nobody(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    (flow.config.routes / ".aliases").write_text("in the way")

    with pytest.raises(RouterFailed, match=r"a\.test cannot be changed"):
        domains.add(flow.platform, flow.app, ["a.test"], ALICE)
    flow.deploy()
    flow.reconcile()
    assert "The route of a.test cannot be changed" in caplog.text
    (flow.config.routes / ".aliases").unlink()
    flow.reconcile()
    assert linked(flow) == {"a.test": HELLO}


def test_a_round_waits_for_nobody_who_tells_the_router(flow: Flow) -> None:
    Domain.create(app=flow.app, name="a.test", by="alice")

    with locks.held(flow.config.aliases_lock):
        flow.reconcile()
        assert linked(flow) == {}
    flow.reconcile()
    assert linked(flow) == {"a.test": HELLO}


def test_many_at_once_lose_nothing_and_leave_nothing(flow: Flow) -> None:
    code = """
    from gitpaas.apps import domains
    for number in range(15):
        domains.add(flow.platform, flow.app, ["shared.test", "w{me}.test", f"{{number}}.w{me}.test"], flows.ALICE)
        flow.reconciler.run_once()
        domains.remove(flow.platform, flow.app, ["w{me}.test"])
    """
    working = [flow.process(code.format(me=me)) for me in range(4)]

    for one in working:
        one.communicate(timeout=200)
    assert [one.returncode for one in working] == [0] * 4
    names = {"shared.test", *(f"{number}.w{me}.test" for me in range(4) for number in range(15))}
    assert {row.name for row in domains.of(flow.app)} == names
    assert linked(flow) == dict.fromkeys(names, HELLO)


def test_two_apps_that_want_the_same_one_at_once(flow: Flow) -> None:
    apps.create(flow.platform, "other", ALICE)
    code = """
    from gitpaas.apps import domains
    from gitpaas.errors import Conflict
    from gitpaas.store import App
    try:
        domains.add(flow.platform, App.get(name="{name}"), ["a.test", "b.test"], flows.ALICE)
    except Conflict:
        sys.exit(7)
    """
    working = {name: flow.process(code.format(name=name)) for name in ("hello", "other")}

    for one in working.values():
        one.communicate(timeout=200)
    assert sorted(one.returncode for one in working.values()) == [0, 7]
    winner = next(name for name, one in working.items() if one.returncode == 0)
    assert linked(flow) == dict.fromkeys(("a.test", "b.test"), f"{winner}.localhost")


def test_an_app_that_was_destroyed_meanwhile_gets_none(flow: Flow) -> None:
    app = flow.app
    apps.destroy(flow.platform, app)

    with pytest.raises(NotFound, match="destroyed meanwhile"):
        domains.add(flow.platform, app, ["a.test"], ALICE)
    with pytest.raises(NotFound, match="destroyed meanwhile"):
        domains.remove(flow.platform, app, ["a.test"])
    assert (linked(flow), Domain.select().count()) == ({}, 0)


def test_a_server_with_another_base_domain_takes_the_names_along_without_a_gap(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.deploy()
    domains.add(flow.platform, flow.app, ["www.example.com", "a.test"], ALICE)

    platform = replace(flow.platform, config=replace(flow.config, base_domain="example.com"))
    moved = replace(flow, platform=platform, reconciler=Reconciler(platform, lambda app, text: None))
    forget, gone = CaddyRouter.forget, []

    def forgotten(self: CaddyRouter, host: str) -> None:
        gone.append((host, linked(moved), moved.route))
        forget(self, host)

    monkeypatch.setattr(CaddyRouter, "forget", forgotten)
    moved.reconcile()
    assert gone == [(HELLO, {"a.test": "hello.example.com"}, moved.route)]
    assert isinstance(moved.route, tuple)
    assert linked(moved) == {"a.test": "hello.example.com"}
    assert set(moved.platform.router.routes()) == {"hello.example.com"}

    flow.reconcile(lambda: isinstance(flow.route, tuple))
    assert linked(flow) == dict.fromkeys(("www.example.com", "a.test"), HELLO)


def test_a_deploy_ends_with_all_urls_of_many_the_first(flow: Flow) -> None:
    domains.add(flow.platform, flow.app, ["b.test", "*.a.test"], ALICE)
    flow.deploy()
    assert flow.lines.text.splitlines()[-3:] == [
        "       http://hello.localhost:8080",
        "       http://*.a.test:8080",
        "       http://b.test:8080",
    ]

    domains.add(flow.platform, flow.app, [f"{number}.test" for number in "1234"], ALICE)
    flow.deploy()
    assert flow.lines.text.splitlines()[-2:] == [
        "       http://*.a.test:8080",
        "       and 1 more: ssh paas domains hello",
    ]
    assert "       http://hello.localhost:8080\n       http://1.test:8080\n" in flow.lines.text


def test_a_deploy_tells_what_a_ca_said_of_its_names(flow: Flow) -> None:
    domains.add(flow.platform, flow.app, ["shop.example.com", "*.example.net"], ALICE)
    flow.config.certificates_log.parent.mkdir(exist_ok=True)
    entries = [{"ts": 1.0, "identifier": name, "error": "no DNS record"} for name in ("shop.example.com", "other.test")]
    flow.config.certificates_log.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    flow.deploy()
    assert "certificate" not in flow.lines.text

    secured = replace(flow, platform=replace(flow.platform, config=replace(flow.config, https_port=443)))
    secured.deploy()

    assert flow.lines.text.splitlines()[-4:] == [
        "       https://hello.localhost",
        "       https://shop.example.com",
        "       http://*.example.net:8080",
        "       shop.example.com has no certificate: no DNS record",
    ]


def test_an_app_without_a_web_process_names_no_further_urls(flow: Flow) -> None:
    domains.add(flow.platform, flow.app, ["a.test"], ALICE)
    flow.deploy(WORKER)
    assert "a.test" not in flow.lines.text


def test_an_idle_round_neither_reads_nor_lists_anything(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    domains.add(flow.platform, flow.app, ["a.test"], ALICE)
    asked: list[str] = []
    wanted, read = aliases.wanted, type(flow.platform.router._aliases)._read
    monkeypatch.setattr(aliases, "wanted", lambda config: asked.append("rows") or wanted(config))
    monkeypatch.setattr(type(flow.platform.router._aliases), "_read", lambda self: asked.append("links") or read(self))
    flow.reconciler = Reconciler(flow.platform, lambda app, text: None)

    def is_idle() -> bool:
        asked.clear()
        flow.reconciler.run_once()
        return asked == []

    until(is_idle)  # the directory was changed a moment ago, and may change once more
    assert is_idle()
    App.update(stopped=True).execute()
    assert not is_idle()
