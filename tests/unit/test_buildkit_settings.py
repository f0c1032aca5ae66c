"""What the daemon and buildctl are told, and where builds are in the network."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from gitpaas import linux
from gitpaas.buildkit import client, network, settings
from gitpaas.buildkit.job import Job
from gitpaas.buildkit.network import Network
from gitpaas.buildkit.plan import Planner
from gitpaas.config import Config
from gitpaas.values import Secret

BRIDGE = Network("bridge", "gpb-0123", "10.214.3.0/24")


def job(tree: Path, **more: object) -> Job:
    return Job(app="hello", build=7, tree=tree, context=tree, definition=tree, **more)


def test_buildkitd_toml(config: Config) -> None:
    config = replace(config, home=Path("/var/lib/gitpaas"))
    chosen = replace(
        config,
        build_cache=4 << 30,
        max_builds=50,
        registry_mirrors={"docker.io": "127.0.0.1:5001", "ghcr.io": "mirror.example.com/ghcr"},
        insecure_registries=("127.0.0.1:5001",),
    )
    assert tomllib.loads(settings.toml(chosen, BRIDGE, 50000, "/gitpaas.x")) == {
        "root": str(config.buildkit / "root"),
        "grpc": {"uid": 50000},
        "otel": {"socketPath": str(config.buildkit / "traces.sock")},
        "history": {"maxEntries": 20},
        "frontend": {
            "gateway.v0": {
                "allowedRepositories": [
                    "docker/dockerfile",
                    "docker/dockerfile-upstream",
                    "ghcr.io/railwayapp/railpack-frontend",
                ]
            }
        },
        "worker": {
            "containerd": {"enabled": False},
            "oci": {
                "enabled": True,
                "max-parallelism": 50,
                "gc": True,
                "reservedSpace": str(1 << 30),
                "maxUsedSpace": str(4 << 30),
                "minFreeSpace": "10%",
                "networkMode": "bridge",
                "bridgeName": "gpb-0123",
                "bridgeSubnet": "10.214.3.0/24",
                "defaultCgroupParent": "/gitpaas.x",
            },
        },
        "registry": {
            "docker.io": {"mirrors": ["127.0.0.1:5001"]},
            "ghcr.io": {"mirrors": ["mirror.example.com/ghcr"]},
            "127.0.0.1:5001": {"http": True},
        },
    }


def test_a_socket_whose_path_no_kernel_takes_is_not_asked_for(config: Config) -> None:
    deep = replace(config, home=config.home / ("x" * 100))
    assert "otel" not in tomllib.loads(settings.toml(deep, BRIDGE, 1, None))


def test_without_bridge_and_cgroups_steps_share_the_hosts_network_without_limits(config: Config) -> None:
    worker = tomllib.loads(settings.toml(config, Network("host"), 1, None))["worker"]["oci"]
    assert worker["networkMode"] == "host"
    assert not {"bridgeName", "bridgeSubnet", "defaultCgroupParent"} & worker.keys()


def test_the_daemon_sees_proxies_and_certificates_and_nothing_else_of_ours(config: Config) -> None:
    environ = {"HTTPS_PROXY": "http://proxy:1", "SSL_CERT_FILE": "/c.pem", "SECRET": "x", "PATH": "/no"}
    env = settings.environment(replace(config, environ=environ), "/tools:/usr/bin")
    assert env["PATH"] == "/tools:/usr/bin"
    assert env["HTTPS_PROXY"] == "http://proxy:1"
    assert env["SSL_CERT_FILE"] == "/c.pem"
    assert "SECRET" not in env


def test_what_buildctl_is_told(tmp_path: Path) -> None:
    made = job(tmp_path, options={"target": "prod", "build-arg:A": "b c"}, secrets={"TOKEN": Secret("s3cret")})
    argv = client.arguments(made, "type=x,dest=/desk/image", "--more")
    assert argv == [
        "/buildctl",
        "--addr=unix:///buildkit/buildkitd.sock",
        "build",
        "--progress=rawjson",
        "--frontend=dockerfile.v0",
        "--opt=build-arg:A=b c",
        "--opt=target=prod",
        "--local=context=/app",
        "--local=dockerfile=/app",
        "--secret=id=TOKEN,env=SECRET_TOKEN",
        "--output=type=x,dest=/desk/image",
        "--more",
    ]


def test_a_part_of_the_tree_and_a_definition_elsewhere_have_their_places(tmp_path: Path) -> None:
    tree, plan = tmp_path / "tree", tmp_path / "plan"
    made = replace(job(tree), context=tree / "web", definition=plan)
    argv = client.arguments(made, "type=x")
    assert "--local=context=/app/web" in argv
    assert "--local=dockerfile=/definition" in argv


def test_secrets_come_in_the_environment_under_names_that_mean_nothing(tmp_path: Path) -> None:
    made = job(tmp_path, secrets={"LD_PRELOAD": Secret("/evil.so"), "PATH": Secret("/evil")})
    env = client.environment(made, {"HTTPS_PROXY": "http://proxy:1"})
    assert env == {
        "HTTPS_PROXY": "http://proxy:1",
        "SECRET_LD_PRELOAD": "/evil.so",
        "SECRET_PATH": "/evil",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/desk",
        "DOCKER_CONFIG": "/desk",
    }


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
{bridge}\t0003D60A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "route"
    path.write_text(ROUTES.format(bridge="br0"))
    monkeypatch.setattr(network, "_ROUTES", path)
    monkeypatch.setattr(network.shutil, "which", lambda name, path: f"/usr/sbin/{name}")
    return path


def test_networks_that_the_machine_knows_a_way_to_are_taken(routes: Path) -> None:
    assert list(network._routed(except_by="none")) == [IPv4Network("192.0.2.0/24"), IPv4Network("10.214.3.0/24")]
    assert list(network._routed(except_by="br0")) == [IPv4Network("192.0.2.0/24")]


def test_a_bridge_keeps_its_network_and_gets_a_free_one(config: Config, routes: Path) -> None:
    first = network.choose(config, "")
    assert (first.mode, first.bridge) == ("bridge", f"gpb-{config.identity[:8]}")
    assert len(first.bridge) <= 15
    subnet = IPv4Network(first.subnet)
    destination = "".join(f"{byte:02X}" for byte in reversed(subnet.network_address.packed))
    taken = ROUTES.replace("0003D60A", destination)

    routes.write_text(taken.format(bridge=first.bridge))
    assert network.choose(config, "") == first, "its own bridge is there already"

    routes.write_text(taken.format(bridge="somebody's"))
    second = network.choose(config, "")
    assert second.mode == "bridge"
    assert not IPv4Network(second.subnet).overlaps(subnet)


def test_the_bridge_keeps_away_from_the_apps_networks(config: Config, routes: Path) -> None:
    chosen = network.choose(replace(config, app_networks=IPv4Network("10.0.0.0/8")), "")
    assert IPv4Network(chosen.subnet).subnet_of(IPv4Network("172.30.0.0/16"))


def test_without_iptables_there_is_no_bridge(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.shutil, "which", lambda name, path: None)
    assert network.choose(config, "") == Network("host", missing="iptables is not installed")
    assert Planner(config).missing("")[0] == (
        "The steps of image builds share the server's network, since iptables is not installed."
    )


def test_a_bridge_that_could_not_be_made_is_not_tried_again_until_something_changes(
    config: Config, routes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.buildkit.mkdir(parents=True)
    planner = Planner(config)
    planner.refuse(planner.network(""), "plugin type=bridge:\n failed")
    assert planner.network("") == Network("host", missing="plugin type=bridge: failed")
    monkeypatch.setattr(linux, "boot_id", lambda: "after the next boot")
    assert planner.network("").mode == "bridge"


def test_a_plan_differs_when_anything_does(config: Config, routes: Path, tmp_path: Path) -> None:
    binary = tmp_path / "buildkitd"
    binary.touch()
    plan = Planner(config).plan(binary, "/usr/bin")
    assert plan == Planner(config).plan(binary, "/usr/bin")
    assert plan.limits.memory == config.build_memory * config.max_builds
    others = [
        Planner(replace(config, build_cpus=1.5)).plan(binary, "/usr/bin"),
        Planner(replace(config, build_memory=1 << 30)).plan(binary, "/usr/bin"),
        Planner(replace(config, environ={"HTTP_PROXY": "http://p"})).plan(binary, "/usr/bin"),
        Planner(config).plan(binary, "/elsewhere"),
    ]
    assert len({plan.toml, *(other.toml for other in others)}) == 5


def test_what_is_missing_is_told(config: Config, routes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "cgroup_version", lambda: "v1")
    monkeypatch.setattr(linux, "can_limit_cpus", lambda: False)
    assert Planner(config).missing("") == []
    assert "build_cpus limits nothing" in Planner(replace(config, build_cpus=1.0)).missing("")[0]
    monkeypatch.setattr(linux, "cgroup_version", lambda: None)
    assert "all of the machine's memory" in Planner(config).missing("")[0]
