"""Every command over a real ssh, on one app that lives as long as this file."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from .programs import run, wait_until
from .world import AppRepo, World, site

pytestmark = pytest.mark.needs("git", "ssh", "ssh-keygen")


@pytest.fixture(scope="module")
def app(world: World) -> AppRepo:
    """An app with a web and a worker process, two releases old."""
    made = world.new_app(
        site("version 1") | {"Procfile": "web: exec python3 server.py\nworker: echo working; sleep 900\n"}
    )
    made.deploy()
    made.deploy({"version.txt": "version 2"})
    return made


def test_ssh_alone_shows_the_apps_and_their_urls(world: World, app: AppRepo) -> None:
    shown = world.ssh()

    assert shown.code == 0
    assert re.search(rf"^{app.name} .*http://{app.name}\.localhost:{world.http_port}", shown.output, re.MULTILINE)


def test_a_space_works_as_well_as_the_colon(world: World, app: AppRepo) -> None:
    wait_until(lambda: len(names := _running(app)) == len(set(names)), "what an earlier test has replaced to end")

    assert world.ssh_json("apps", "info", app.name) == world.ssh_json("apps:info", "-a", app.name)


def test_apps_info_tells_what_runs_and_since_which_release(world: World) -> None:
    app = world.new_app()
    app.deploy()
    app.deploy({"version.txt": "version 2"})
    wait_until(lambda: world.ssh_json("apps:info", app.name)["running"] == {"web": 1}, "the old instance to end")

    info = world.ssh_json("apps:info", app.name)

    assert info["url"] == f"http://{app.name}.localhost:{world.http_port}"
    assert (info["state"], info["release"], info["deploy_branch"]) == ("running", 2, "main")


def test_create_and_destroy(world: World) -> None:
    name = "made-by-hand"

    assert world.ssh("apps:create", name).code == 0
    assert "nothing has been deployed" in world.get(name).body
    again, unsure = world.ssh("apps:create", name), world.ssh("apps:destroy", name)
    assert again.code == 1
    assert unsure.code == 2
    assert f"--confirm {name}" in unsure.errors
    assert world.ssh("apps:destroy", name, "--confirm", name).code == 0

    wait_until(lambda: world.get(name).status == 404, "the host to be forgotten")
    assert not (world.home / "repos" / f"{name}.git").exists()


def test_destroyed_app_leaves_nothing(world: World) -> None:
    app = world.new_app()
    app.deploy()

    assert world.ssh("apps:destroy", app.name, "--confirm", app.name).code == 0

    wait_until(lambda: app.get().status == 404, "the host to be forgotten")
    left = [path for path in world.home.glob(f"*/{app.name}*") if path.parent.name not in ("locks", "routes")]
    assert left == []
    app.deploy({"version.txt": "born again"})
    assert app.get().body == "born again"


def test_config_change_makes_a_release_with_it(world: World, app: AppRepo) -> None:
    release = world.ssh_json("apps:info", app.name)["release"]

    assert app.ssh("config:set", "GREETING='hello there'", "EMPTY=").code == 0

    seen = json.loads(app.get("/env").body)
    assert (seen["GREETING"], seen["EMPTY"]) == ("hello there", "")
    assert world.ssh_json("config", app.name).items() >= {"EMPTY": "", "GREETING": "hello there"}.items()
    assert world.ssh("config:get", app.name, "GREETING").output == "hello there\n"
    assert world.ssh_json("apps:info", app.name)["release"] == release + 1

    assert app.ssh("config:unset", "GREETING", "EMPTY").code == 0
    assert "GREETING" not in json.loads(app.get("/env").body)
    assert app.ssh("config:unset", "GREETING").code == 1


def test_ps_lists_and_scale_changes_what_runs(world: World, app: AppRepo) -> None:
    assert app.ssh("ps:scale", "web=2", "worker=0").code == 0
    wait_until(lambda: _running(app) == ["web.1", "web.2"], "two web instances and no worker")

    assert app.ssh("ps:scale", "web=1", "worker=1").code == 0
    wait_until(lambda: _running(app) == ["web.1", "worker.1"], "one of each")
    assert "web.1" in app.ssh("ps").output


def test_restart_replaces_the_instances(app: AppRepo) -> None:
    before = app.get("/pid").body

    assert app.ssh("ps:restart", "web").code == 0

    assert app.get("/pid").body != before


def test_stop_and_start(app: AppRepo) -> None:
    assert app.ssh("ps:stop").code == 0
    stopped = app.get()
    assert stopped.status == 503
    assert "stopped" in stopped.body.lower()

    assert app.ssh("ps:start").code == 0
    assert app.get().status == 200


def test_maintenance_covers_the_app(app: AppRepo) -> None:
    assert app.ssh("maintenance:on").code == 0
    assert app.get().status == 503
    assert "Retry-After" in app.get().headers

    assert app.ssh("maintenance:off").code == 0
    assert app.get().status == 200


def test_logs_show_what_the_app_prints(world: World, app: AppRepo) -> None:
    app.get("/print?text=a-line-of-mine")

    wait_until(lambda: "a-line-of-mine" in app.ssh("logs").output, "the line in the logs")
    assert "a-line-of-mine" in app.ssh("logs", "-p", "web").output
    assert "a-line-of-mine" not in app.ssh("logs", "-p", "worker").output
    assert len(app.ssh("logs", "-n", "1").output.splitlines()) == 1
    found = app.ssh("logs", "--since", "1h", "--grep", "'no such|LINE.of.mine$'")
    assert not found.output
    found = app.ssh("logs", "--since", "1h", "--grep", "'no such|line.of.mine'")
    assert found.output.splitlines()
    assert all("a-line-of-mine" in line for line in found.output.splitlines())


def test_logs_tail_follows_and_ends_with_its_client(world: World, app: AppRepo) -> None:
    before = world.threads()
    tail = world.begin_ssh("logs", app.name, "-t", "-n", "0")

    def is_followed() -> bool:
        app.get("/print?text=followed-line")  # again and again, since it may not follow yet
        return "followed-line" in tail.output

    wait_until(is_followed, "the line in the followed logs")
    new = world.threads() - before
    assert new
    tail.kill()
    wait_until(lambda: not new & world.threads(), "the server to notice that nobody follows")


def test_builds_and_their_output(world: World, app: AppRepo) -> None:
    build = app.builds()[0]

    assert build["state"] == "live"
    output = app.ssh("builds:output", str(build["build"]))
    assert re.search(rf"=====> {app.name} v\d+ deployed", output.output)
    assert app.ssh("builds:output").output == output.output
    assert app.ssh("builds:output", "-t").output == output.output


def test_output_of_a_build_is_followed_to_its_end(world: World) -> None:
    app = world.new_app(site() | {"Procfile": "release: echo halfway; sleep 2\nweb: exec python3 server.py\n"})
    pushing = app.begin_push()
    pushing.wait_for("halfway")

    followed = app.ssh("builds:output", "-t")

    assert followed.code == 0
    assert f"{app.name} v1 deployed" in followed.output
    assert pushing.end().code == 0


def test_rollback_goes_back_and_forth(world: World) -> None:
    app = world.new_app()
    app.deploy()
    app.deploy({"version.txt": "version 2"})

    assert app.ssh("rollback").code == 0
    assert app.get().body == "version 1"
    assert app.ssh("rollback", "v2").code == 0
    assert app.get().body == "version 2"

    releases = world.ssh_json("releases", app.name)
    assert [release["release"] for release in releases] == [4, 3, 2, 1]
    assert releases[0]["state"] == "live"
    assert app.ssh("rollback", "v99").code == 1


def test_rebuild_makes_a_new_release_of_the_live_commit(world: World) -> None:
    app = world.new_app()
    app.deploy()

    rebuilt = app.ssh("ps:rebuild")

    assert rebuilt.code == 0, rebuilt
    assert f"{app.name} v2 deployed" in rebuilt.output
    assert app.get().body == "version 1"


def test_open_version_and_help(world: World, app: AppRepo) -> None:
    assert app.ssh("open").output == f"http://{app.name}.localhost:{world.http_port}\n"
    assert re.match(r"gitpaas \d+\.\d+\.\d+", world.ssh("version").output)
    overview = world.ssh("help").output
    for command in ("apps:create", "config:set", "logs", "rollback"):
        assert re.search(rf"^ +{command} +\w", overview, re.MULTILINE)
    assert "--tail" in world.ssh("logs", "--help").output
    assert world.ssh("help", "ps:scale").code == 0


def test_wrong_names_suggest_the_near_ones(world: World, app: AppRepo) -> None:
    wrong_command, wrong_app = world.ssh("lgos", app.name), world.ssh("logs", app.name + "x")

    assert wrong_command.code == 2
    assert "logs" in wrong_command.errors
    assert wrong_app.code == 1
    assert app.name in wrong_app.errors
    assert "Traceback" not in wrong_command.errors + wrong_app.errors


def test_status_on_the_machine(world: World) -> None:
    status = world.gitpaas("status", "--format", "json")

    assert status.code == 0
    told = json.loads(status.output)
    assert told["ssh"] == f"127.0.0.1:{world.ssh_port}"
    assert world.process is not None
    assert told["pid"] == world.process.pid


def test_doctor_finds_all_that_is_needed(world: World) -> None:
    for done in (world.ssh("doctor"), world.gitpaas("doctor")):
        assert done.code == 0, done
        assert "runtime  host: The setting runtime says so." in done.output
    assert {"what", "state", "text", "hint"} == set(world.ssh_json("doctor")[0])


def test_the_same_command_in_the_shell(world: World, app: AppRepo) -> None:
    assert json.loads(world.gitpaas("releases", app.name, "--format", "json").output) == world.ssh_json(
        "releases", app.name
    )


def test_commands_run_in_the_server_and_start_no_program(world: World, app: AppRepo) -> None:
    """On a connection that is logged in already. A Python of their own would take half a second of its CPU."""
    control = world.user / "control"
    options = ["-F", str(world.ssh_config), "-o", f"ControlPath={control}"]
    master = subprocess.Popen(["ssh", *options, "-MN", "paas"], env=world.env, stdin=subprocess.DEVNULL)
    try:
        wait_until(control.exists, "the shared connection")
        took = []
        for _ in range(5):
            before = world.childrens_ticks()
            assert run(["ssh", *options, "paas", "apps:info", app.name], env=world.env).code == 0
            took.append(world.childrens_ticks() - before)
    finally:
        master.terminate()
        master.wait()

    assert min(took) == 0, took


def _running(app: AppRepo) -> list[str]:
    instances = app.world.ssh_json("ps", app.name)["instances"]
    return sorted(instance["name"] for instance in instances if instance["state"] == "running")
