"""HTTPS as people meet it: URLs, a root to trust, deploys that drop nothing, settings that are refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import closing
from pathlib import Path

import pytest
from ports import free_port
from securely import Connection
from websockets.asyncio.client import connect

from .conftest import RunWorld
from .programs import run, wait_until
from .visitors import RATE, load_on
from .world import AppRepo, World

pytestmark = pytest.mark.needs("git", "ssh", "ssh-keygen")


@pytest.fixture
def world(run_world: RunWorld) -> World:
    return run_world(HTTPS_PORT=free_port())


@pytest.fixture
def root(world: World) -> Path:
    """As a user saves it."""
    path = world.user / "gitpaas.crt"
    path.write_text(world.ssh("certificates:root").output)
    return path


def secure(app: AppRepo, root: Path) -> Connection:
    return Connection(f"{app.name}.localhost", ("127.0.0.1", app.world.https_port), root)


def test_everything_that_is_printed_is_https(world: World) -> None:
    app = world.new_app()
    url = f"https://{app.name}.localhost:{world.https_port}"

    assert f"remote:        {url}" in app.deploy().output
    assert url in world.ssh("apps").output
    assert world.ssh_json("apps:info", app.name)["url"] == url
    assert app.ssh("open").output == f"{url}\n"
    assert app.ssh("run", "--", "printenv", "GITPAAS_URL").output == f"{url}\n"
    assert f"HTTPS 127.0.0.1:{world.https_port}" in world.gitpaas("status").output
    assert f"HTTPS at 127.0.0.1:{world.https_port}" in world.ssh("doctor").output


@pytest.mark.needs("curl")
def test_curl_trusts_the_root_that_is_printed(world: World, root: Path) -> None:
    app = world.new_app()
    app.deploy()
    assert world.ssh_json("certificates", app.name)[0]["state"] == "none"

    argv = ["curl", "-sSL", "--cacert", str(root), "--resolve", f"*:{world.https_port}:127.0.0.1"]
    argv += ["--connect-to", f"{app.name}.localhost:{world.http_port}:127.0.0.1:{world.http_port}"]
    done = run([*argv, f"http://{app.name}.localhost:{world.http_port}/"], env=world.env)

    assert done.output == "version 1", done
    (found,) = world.ssh_json("certificates", app.name)
    assert (found["state"], found["issuer"], found["error"]) == ("valid", "this server", None)


def test_redeploys_under_load_over_https_fail_no_request(world: World, root: Path) -> None:
    app = world.new_app()
    app.deploy()

    with load_on(app, f"{app.name}.localhost:{world.https_port}", lambda: secure(app, root)) as load:
        for number in range(2, 8):
            app.deploy({"version.txt": f"version {number}"})
        assert world.gitpaas("restart").code == 0

    assert load.failures == []
    assert load.answers > RATE * 2


def test_a_websocket_goes_on_across_the_switch(world: World, root: Path) -> None:
    app = world.new_app()
    app.deploy()
    context = ssl.create_default_context(cafile=str(root))

    async def talk() -> None:
        uri = f"wss://{app.name}.localhost:{world.https_port}/socket"
        async with connect(uri, host="127.0.0.1", port=world.https_port, ssl=context, proxy=None) as client:
            await client.send("hello")
            assert await asyncio.wait_for(client.recv(), 60) == "version 1 hello"
            await asyncio.to_thread(app.deploy, {"version.txt": "version 2"})
            await client.send("still here")
            assert await asyncio.wait_for(client.recv(), 60) == "version 1 still here"

    asyncio.run(talk())


def test_an_app_destroyed_has_no_certificate_any_more_after_a_restart(world: World, root: Path) -> None:
    app = world.new_app()
    app.deploy()
    with closing(secure(app, root)) as connection:
        connection.connect()
    assert world.ssh("apps:destroy", app.name, "--confirm", app.name).code == 0
    world.stop()
    world.start()

    with pytest.raises(ssl.SSLError, match="alert internal error"):
        secure(app, root).connect()


def test_https_is_switched_on_in_a_server_that_runs(run_world: RunWorld) -> None:
    world = run_world()
    app = world.new_app()
    app.deploy()
    assert world.ssh("certificates:root").code == 1
    port = free_port()
    (world.home / "gitpaas.toml").write_text(f"https_port = {port}\n")

    assert world.gitpaas("restart").code == 0

    world.https_port = port
    root = world.user / "gitpaas.crt"
    root.write_text(world.ssh("certificates:root").output)
    connection = secure(app, root)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"version 1"
    connection.close()
    assert app.get().status == 308


def test_port_taken_is_said_with_its_setting(world: World) -> None:
    world.stop()
    with socket.create_server(("127.0.0.1", world.https_port)):
        refused = world.gitpaas("serve")

    assert refused.code == 1
    assert f"127.0.0.1:{world.https_port} is taken by" in refused.errors
    assert "GITPAAS_HTTPS_PORT=" in refused.errors


@pytest.mark.needs("curl")
def test_what_a_ca_said_is_in_the_servers_log(run_world: RunWorld) -> None:
    # given a public name, and a CA that nobody reaches
    nobody = f"https://127.0.0.1:{free_port()}/directory"
    world = run_world(HTTPS_PORT=free_port(), BASE_DOMAIN="apps.example.com", ACME_DIRECTORY=nobody)
    assert world.ssh("apps:create", "shop").code == 0

    # when somebody comes
    name = f"shop.apps.example.com:{world.https_port}"
    visitor = world.begin(["curl", "-sS", "--resolve", f"{name}:127.0.0.1", f"https://{name}/"])

    # then whoever looks is told
    said = "no certificate for shop.apps.example.com: "
    wait_until(lambda: said in (world.root / "serve.err").read_text(), "the server's log to tell")
    visitor.kill()
    (found,) = world.ssh_json("certificates")
    assert found["state"] == "failed"
    assert "connection refused" in found["error"]
    assert "connection refused" in world.ssh("certificates").output
    assert "no certificate for shop.apps.example.com" in world.ssh("doctor").output
