"""What Docker Engine is asked for, as a whole; and what its answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

import pytest

from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.engine.images import ImageInfo
from gitpaas.engine.networks import Place, free
from gitpaas.engine.stream import Frames
from gitpaas.linux import sockets
from gitpaas.output import Terminal
from gitpaas.runtimes.docker import abilities, healthcheck, names, settings
from gitpaas.runtimes.docker.settings import Streaming, Surroundings
from gitpaas.values import Artifact, Exit, InstanceSpec, Limits, RunOptions, Secret, VolumeMount

PLACE = Place("n1", IPv4Address("10.213.0.1"), IPv4Address("10.213.0.2"))
MARKS = {"gitpaas.home": "abc", "gitpaas.app": "demo", "gitpaas.id": "demo.v1.web.1.x"}


def image(**values: object) -> ImageInfo:
    usual = {"id": "sha256:1", "names": (), "labels": {}, "size": 1}
    return ImageInfo(**(usual | values))  # type: ignore[arg-type]


def spec(**values: object) -> InstanceSpec:
    usual = {
        "app": "demo",
        "release": 1,
        "process": "web",
        "number": 1,
        "command": "serve --now",
        "artifact": Artifact("image", "sha256:1", "dockerfile", "", {}, {"MODE": "build", "BUILT": "yes"}),
        "env": {"MODE": Secret("config")},
        "uid": None,
        "limits": Limits(1000, 20, 30, 0.5),
        "listens": True,
        "commit": "abc123",
        "url": "http://demo.localhost",
    }
    return InstanceSpec(**(usual | values))  # type: ignore[arg-type]


def around(**values: object) -> Surroundings:
    usual = {"key": "demo.v1.web.1.x", "place": PLACE, "labels": MARKS, "port": 8000}
    return Surroundings(**(usual | values))  # type: ignore[arg-type]


def test_the_whole_request() -> None:
    made = settings.container(spec(), image(), around())
    assert made == {
        "Image": "sha256:1",
        "Env": [
            *("MODE=config", "BUILT=yes", "GITPAAS_APP=demo", "GITPAAS_RELEASE=v1", "GITPAAS_PROCESS=web.1"),
            *("GITPAAS_COMMIT=abc123", "GITPAAS_URL=http://demo.localhost"),
            *("GITPAAS_INSTANCE=demo.v1.web.1.x", "PORT=8000"),
        ],
        "Cmd": ["/bin/sh", "-c", "exec serve --now"],
        "Labels": MARKS,
        "Healthcheck": {"Interval": 30_000_000_000, "StartInterval": 5_000_000_000},
        "ExposedPorts": {},
        "NetworkingConfig": {"EndpointsConfig": {"n1": {"IPAMConfig": {"IPv4Address": "10.213.0.2"}}}},
        "HostConfig": {
            "NetworkMode": "n1",
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": "10m", "max-file": "3", "mode": "non-blocking", "max-buffer-size": "4m"},
            },
            "CapDrop": ["ALL"],
            "CapAdd": [
                *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"),
            ],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": False,
            "Init": True,
            "Mounts": [],
            "PortBindings": {},
            "Memory": 1000,
            "MemorySwap": 1000,
            "PidsLimit": 20,
            "CpuPeriod": 100_000,
            "CpuQuota": 50_000,
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 30, "Hard": 30}],
            "ExtraHosts": ["host.docker.internal:host-gateway"],
        },
    }


def test_the_image_starts_as_it_likes_when_there_is_no_command() -> None:
    assert "Cmd" not in settings.container(spec(command=""), image(entrypoint=("/run",)), around())


@pytest.mark.parametrize(
    ("entrypoint", "expected"),
    [
        ((), ["/bin/sh", "-c", "exec serve"]),
        (("/entrypoint.sh",), ["/bin/sh", "-c", "exec serve"]),
        (("python3", "-c"), ["/bin/sh", "-c", "exec serve"]),
        (("/bin/bash", "-c"), ["exec serve"]),
        (("sh", "-ec"), ["exec serve"]),
        (("tini", "--", "bash", "-l", "-c"), ["exec serve"]),
    ],
)
def test_a_command_goes_behind_the_entrypoint_once_through_a_shell(
    entrypoint: Sequence[str], expected: list[str]
) -> None:
    assert settings.command("serve", entrypoint) == expected


def test_read_only_leaves_tmp_and_storage() -> None:
    asked = spec(options=RunOptions(read_only=True), volumes=(VolumeMount("data", "/data"),))
    made = settings.container(asked, image(), around(volume_prefix="gitpaas-abc.demo."))["HostConfig"]
    assert made["ReadonlyRootfs"]
    assert made["Tmpfs"] == {"/tmp": "rw,exec,nosuid,nodev,mode=1777"}
    labels = {"gitpaas.home": "abc", "gitpaas.app": "demo", "gitpaas.volume": "data"}
    assert made["Mounts"] == [
        {
            "Type": "volume",
            "Source": "gitpaas-abc.demo.data",
            "Target": "/data",
            "VolumeOptions": {"Labels": labels},
        }
    ]


def test_published_ports_are_those_of_loopback_alone() -> None:
    made = settings.container(spec(), image(), around(published={8000: 20001}))
    assert made["ExposedPorts"] == {"8000/tcp": {}}
    assert made["HostConfig"]["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}]}


def test_a_one_off_has_no_log_and_an_older_engine_no_name_for_the_host() -> None:
    made = settings.container(spec(), image(), around(one_off=True, host_name=False, init=False))["HostConfig"]
    assert made["LogConfig"] == {"Type": "none", "Config": {}}
    assert "ExtraHosts" not in made
    assert not made["Init"]


def test_an_image_with_an_init_process_of_its_own_gets_no_other() -> None:
    made = settings.container(spec(), image(entrypoint=("/init",)), around())
    assert not made["HostConfig"]["Init"]


@pytest.mark.parametrize(
    ("listens", "chosen", "exposed", "expected"),
    [
        (True, None, (), 8000),
        (True, None, (3000,), 3000),
        (True, None, (80, 443), 8000),
        (True, 9000, (3000,), 9000),
        (False, 9000, (3000,), None),
    ],
)
def test_the_port_that_a_process_is_told(
    listens: bool, chosen: int | None, exposed: tuple[int, ...], expected: int | None
) -> None:
    assert settings.port(spec(listens=listens, options=RunOptions(port=chosen)), image(ports=exposed)) == expected


def test_where_a_container_is_asked() -> None:
    marks = {"gitpaas.port": "8000", "gitpaas.address": "10.213.0.2", "gitpaas.published": ""}
    assert names.address(marks) == "10.213.0.2:8000"
    assert names.address(marks, 5000) == "10.213.0.2:5000"
    assert names.address(marks | {"gitpaas.port": ""}, 5000) is None
    published = marks | {"gitpaas.published": "8000:20001 9000:20002"}
    assert names.address(published) == "127.0.0.1:20001"
    assert names.address(published, 9000) == "127.0.0.1:20002"
    assert names.address(published, 5000) is None


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ((), []),
        (("NONE",), []),
        (("CMD", "curl", "-f", "x y"), ["curl", "-f", "x y"]),
        (("CMD-SHELL", "curl x || exit 1"), ["/bin/sh", "-c", "curl x || exit 1"]),
    ],
)
def test_the_command_of_a_healthcheck(test: Sequence[str], expected: list[str]) -> None:
    assert healthcheck.command(test) == expected


def test_networks_are_cut_from_what_is_free_and_begin_somewhere() -> None:
    pool = IPv4Network("10.0.0.0/24")
    taken = [IPv4Network("10.0.0.64/28"), IPv4Network("192.168.0.0/16")]
    assert [str(network) for network in free(pool, taken, 3)] == ["10.0.0.192/26", "10.0.0.0/26", "10.0.0.128/26"]
    assert list(free(pool, [IPv4Network("10.0.0.0/8")], 0)) == []


def test_frames_are_told_apart_wherever_the_data_is_cut() -> None:
    data = b"\x01\0\0\0\0\0\0\x03one\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x04four"
    for cut in range(len(data)):
        frames = Frames()
        assert frames.feed(data[:cut]) + frames.feed(data[cut:]) == [b"one", b"", b"four"]
    assert Frames().feed(data[:-1]) == [b"one", b""]


def test_listening_sockets_in_a_table_of_the_kernels() -> None:
    table = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 81 1 0
   1: 0B00007F:A4C5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 82 1 0
   2: 0200D50A:1F40 0100D50A:C350 01 00000000:00000000 00:00000000 00000000     0        0 83 1 0
"""
    assert sockets.listening(table) == {"0.0.0.0:8000", "127.0.0.11:42181"}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"MemoryLimit": True, "PidsLimit": True, "CpuCfsQuota": True, "SecurityOptions": ["name=seccomp"]}, []),
        (
            {"MemoryLimit": False, "PidsLimit": False, "SecurityOptions": None},
            [
                "Docker Engine cannot limit memory here.",
                "Docker Engine cannot limit the number of processes here.",
                "Docker Engine runs containers without seccomp here: they may use every system call.",
            ],
        ),
    ],
)
def test_what_an_engine_lacks(
    config: Config, monkeypatch: pytest.MonkeyPatch, info: dict[str, object], expected: list[str]
) -> None:
    monkeypatch.setattr(abilities, "ask", lambda engine, path: info)
    assert abilities.missing(Engine(config)) == expected


@pytest.mark.parametrize(
    ("label", "how"),
    [
        (None, None),
        ("", None),
        ("[137, true, 5.5]", Exit(137, True, 5.5)),
        ("[null, false, null]", Exit(None)),
        ("not ours", None),
        ("[1, 2, 3, 4]", None),
    ],
)
def test_how_the_one_before_ended_is_read_from_a_label(label: str | None, how: Exit | None) -> None:
    assert names.last_exit({} if label is None else {"gitpaas.exit": label}) == how


def test_somebody_at_its_streams_has_its_input_and_a_terminal_if_there_is_one() -> None:
    pipes = settings.container(spec(), image(), around(one_off=True, streams=Streaming(None)))
    screen = settings.container(spec(), image(), around(one_off=True, streams=Streaming(Terminal("xterm", 80, 24))))
    for made in (pipes, screen):
        assert (made["OpenStdin"], made["StdinOnce"], made["AttachStdin"], made["AttachStdout"]) == (True,) * 4
        assert made["HostConfig"]["LogConfig"]["Type"] == "none"
    assert (pipes["Tty"], pipes["Cmd"]) == (False, ["/bin/sh", "-c", "exec serve --now"])
    sized = "stty cols 80 rows 24 2>/dev/null; exec serve --now"
    assert (screen["Tty"], screen["Cmd"]) == (True, ["/bin/sh", "-c", sized])


def test_a_container_says_which_one_off_it_is_and_whether_somebody_waits_for_it() -> None:
    known = {"": (None, False), "yes": (None, True), "12": (12, False), "12 yes": (12, True)}
    for mark, (number, is_attached) in known.items():
        marks = {"gitpaas.oneoff": mark}
        assert (names.one_off(marks), names.is_attached(marks)) == (number, is_attached)
        assert names.is_shown(marks) is (mark != "yes")


def test_output_and_errors_are_told_apart() -> None:
    data = b"\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\3err"
    frames = Frames()
    assert [piece for byte in data for piece in frames.feed_apart(bytes([byte]))] == [(1, b"out"), (2, b"err")]
