"""Custom domains over real ssh and HTTP: added and removed at once, never a request dropped, mended after a kill."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from gitpaas import locks

from .conftest import RunWorld
from .programs import wait_until
from .visitors import RATE, load_on
from .world import World, site

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(900)]


def test_an_app_answers_at_its_domains_from_the_next_request_on(world: World) -> None:
    app, other = world.new_app(site("mine")), world.new_app(site("other"))
    app.deploy()
    other.deploy()
    www = f"www.{app.name}.example"

    added = app.ssh("domains:add", www.upper(), f"bücher.{app.name}.example", app.name + ".example.")
    assert added.code == 0, added
    assert world.get_from(www).body == "mine"
    assert world.get_from(f"XN--bcher-kva.{app.name}.Example.:{world.http_port}").body == "mine"
    assert world.get_from(f"{app.name}.example").body == "mine"
    assert world.get_from(f"any.{app.name}.example").status == 404

    assert other.ssh("domains:add", f"*.{app.name}.example").code == 0
    assert world.get_from(f"any.{app.name}.example").body == "other"
    assert world.get_from(www).body == "mine"
    assert app.ssh("domains:remove", www).code == 0
    assert world.get_from(www).body == "other"
    assert [row["domain"] for row in world.ssh_json("domains", app.name)] == [
        f"{app.name}.localhost",
        f"{app.name}.example",
        f"xn--bcher-kva.{app.name}.example",
    ]

    said = [line.strip() for line in app.deploy({"version.txt": "version 2"}).output.splitlines()]
    url = f"http://{app.name}.{{}}:{world.http_port}"
    own = said.index(f"remote:        {url.format('localhost')}")
    assert said[own + 1] == f"remote:        {url.format('example')}"
    assert world.get_from(f"{app.name}.example").body == "version 2"
    assert world.ssh("open", app.name).output.strip() == url.format("localhost")


def test_all_that_becomes_of_the_app_becomes_of_its_domains(world: World) -> None:
    app = world.new_app()
    host = f"{app.name}.example"
    app.deploy()
    assert app.ssh("domains:add", host).code == 0

    assert app.ssh("maintenance:on").code == 0
    assert "maintenance" in world.get_from(host).body
    assert app.ssh("maintenance:off").code == 0
    assert world.get_from(host).body == "version 1"
    assert app.ssh("ps:stop").code == 0
    assert "Stopped" in world.get_from(host).body
    assert app.ssh("ps:start").code == 0
    assert world.get_from(host).body == "version 1"
    assert app.ssh("ps:scale", "web=2").code == 0
    assert len({world.get_from(host, "/pid").body for _ in range(40)}) == 2

    assert app.ssh("apps:destroy", "--confirm", app.name).code == 0
    assert (world.get_from(host).status, app.get().status) == (404, 404)


def test_what_changes_under_load_on_a_domain_fails_no_request(any_world: RunWorld) -> None:
    world = any_world()
    app = world.new_app()
    app.deploy()
    assert app.ssh("domains:add", "www.shop.example", "*.wild.example").code == 0

    with load_on(app, "www.shop.example") as load, load_on(app, "any.wild.example") as wild:
        for number in range(2, 7):
            app.deploy({"version.txt": f"version {number}"})
            assert app.ssh("domains:add", f"more{number}.shop.example").code == 0
            assert app.ssh("domains:remove", f"more{number}.shop.example").code == 0
        assert app.ssh("ps:scale", "web=3").code == 0
        assert app.ssh("ps:restart").code == 0
        assert app.ssh("domains:add", "any.wild.example").code == 0  # from the wildcard to one of its own, and back
        assert app.ssh("domains:remove", "any.wild.example").code == 0
        wait_until(lambda: min(load.answers, wild.answers) > RATE * 3, "six hundred answers each")

    assert load.failures == wild.failures == []
    assert world.get_from("www.shop.example").body == "version 6"


def test_server_killed_between_the_database_and_the_routing_table(own_world: World) -> None:
    app = own_world.new_app()
    app.deploy()
    assert app.ssh("domains:add", "old.example").code == 0

    # Whoever changes domains tells the router with this lock held, once the rows are written.
    with locks.held(own_world.home / "locks" / "aliases"):
        adding = own_world.begin_ssh("domains:add", app.name, "new.example")
        wait_until(lambda: "new.example" in rows(own_world), "the row to be written")
        removing = own_world.begin_ssh("domains:remove", app.name, "old.example")
        wait_until(lambda: "old.example" not in rows(own_world), "the row to be removed")
        own_world.kill()
    assert (adding.end().code, removing.end().code) != (0, 0)
    own_world.start()

    wait_until(lambda: own_world.get_from("new.example").body == "version 1", "the new one to be routed")
    wait_until(lambda: own_world.get_from("old.example").status == 404, "the old one to be forgotten")


def test_state_of_an_older_server_is_brought_up_to_date(own_world: World) -> None:
    """As a backup of then, put back: its database knows nothing of domains, its routing table neither."""
    app = own_world.new_app()
    app.deploy()
    own_world.stop()
    with closing(sqlite3.connect(own_world.home / "gitpaas.db")) as database:
        database.execute("DROP TABLE domain")
        database.execute("DELETE FROM migration WHERE name = 'm0005_domains'")
        database.commit()

    own_world.start()

    assert app.get().body == "version 1"
    assert app.ssh("domains:add", "www.example.com").code == 0
    assert own_world.get_from("www.example.com").body == "version 1"


def rows(world: World) -> list[str]:
    with closing(sqlite3.connect(world.home / "gitpaas.db", timeout=30)) as database:
        return [name for (name,) in database.execute("SELECT name FROM domain")]
