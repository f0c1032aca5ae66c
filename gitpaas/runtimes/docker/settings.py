"""What the engine is asked to run for an instance, in the words of its API: POST /containers/create."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from gitpaas.engine.images import ImageInfo
from gitpaas.engine.networks import Place
from gitpaas.output import Terminal
from gitpaas.runtimes.command import shell_line
from gitpaas.runtimes.environment import additions
from gitpaas.values import InstanceSpec, Limits

DEFAULT_PORT = 8000
SHELL = "/bin/sh"
HOST_NAME = "host.docker.internal"

# What ordinary images need to change owners, to become another user and to listen on port 80: Docker's own default
# without raw packets, device nodes, chroot, file capabilities and the audit log.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
_INITS = ("init", "tini", "dumb-init", "docker-init", "catatonit", "s6-svscan", "runit-init", "systemd")
_SHELLS = ("sh", "ash", "bash", "dash", "zsh", "ksh", "busybox")

# An app never waits for its log: what comes faster than it can be written is dropped, what is too much makes room.
# Not the driver `local`, which is quicker but joins a line of more than 16 KiB with the next one (Docker 20.10).
_LOG = {
    "Type": "json-file",
    "Config": {"max-size": "10m", "max-file": "3", "mode": "non-blocking", "max-buffer-size": "4m"},
}
_CPU_PERIOD, _CPU_LEAST = 100_000, 1000  # microseconds
# Nobody asks the engine how an image's HEALTHCHECK goes. So it need not run it every millisecond, as an image may want:
# to start it takes the machine's time, not the container's.
_HEALTHCHECK = {"Interval": 30 * 10**9, "StartInterval": 5 * 10**9}  # nanoseconds
_NO_LOG = {"Type": "none", "Config": {}}


@dataclass(frozen=True)
class Streaming:
    """Somebody is at its streams: pipes, or a terminal."""

    terminal: Terminal | None


@dataclass(frozen=True)
class Surroundings:
    """What the platform decides for one container."""

    key: str  # the instance's id
    place: Place
    labels: Mapping[str, str]
    port: int | None  # what PORT says
    published: Mapping[int, int] = field(default_factory=dict)  # its ports -> those of the host's loopback
    one_off: bool = False
    streams: Streaming | None = None
    init: bool = True  # the engine has an init process to offer
    host_name: bool = True  # the engine knows host-gateway
    volume_prefix: str = ""


def port(spec: InstanceSpec, image: ImageInfo) -> int | None:
    """The one that a process is told to listen on: as people say, else as the image says, else ours."""
    if not spec.listens:
        return None
    if spec.options.port:
        return spec.options.port
    return image.ports[0] if len(image.ports) == 1 else DEFAULT_PORT


def container(spec: InstanceSpec, image: ImageInfo, around: Surroundings) -> dict[str, Any]:
    """The whole request."""
    env = additions(spec, around.key, around.port)
    asked: dict[str, Any] = {
        "Image": image.id,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": dict(around.labels),
        "Healthcheck": dict(_HEALTHCHECK),
        "ExposedPorts": {f"{port}/tcp": {} for port in around.published},
        "HostConfig": _host(spec, image, around),
        "NetworkingConfig": {
            "EndpointsConfig": {around.place.network: {"IPAMConfig": {"IPv4Address": str(around.place.address)}}}
        },
    }
    if spec.command:
        asked["Cmd"] = command(spec.command, image.entrypoint, around.streams.terminal if around.streams else None)
    if around.streams:
        asked |= _streams(around.streams)
    return asked


def _streams(streams: Streaming) -> dict[str, Any]:
    """Its input ends with the one that we send."""
    attached = dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce"), True)
    return attached | {"Tty": streams.terminal is not None}


def command(line: str, entrypoint: Sequence[str], terminal: Terminal | None = None) -> list[str]:
    """A shell command behind the image's own entrypoint, which may be such a shell itself."""
    line = shell_line(line)
    if terminal is not None:  # the engine makes terminals without a size, and gives them one when the program runs
        line = f"stty cols {terminal.columns} rows {terminal.rows} 2>/dev/null; {line}"
    return [line] if _is_shell(entrypoint) else [SHELL, "-c", line]


def needs_shell(spec: InstanceSpec, image: ImageInfo) -> bool:
    """Whether the image must have SHELL."""
    return bool(spec.command) and not _is_shell(image.entrypoint)


def _is_shell(entrypoint: Sequence[str]) -> bool:
    """`bash -c`, `sh -ec`, `tini -- bash -c`"""
    named = any(PurePosixPath(word).name in _SHELLS for word in entrypoint)
    return named and re.fullmatch("-[a-z]*c", entrypoint[-1]) is not None


def _host(spec: InstanceSpec, image: ImageInfo, around: Surroundings) -> dict[str, Any]:
    host: dict[str, Any] = {
        "NetworkMode": around.place.network,
        "RestartPolicy": {"Name": "no"},  # reconcile restarts, with its own patience
        "LogConfig": _NO_LOG if around.one_off else _LOG,
        "CapDrop": ["ALL"],
        "CapAdd": list(_CAPABILITIES),
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": spec.options.read_only,
        "Init": around.init and not _has_init(image),
        "Mounts": _volumes(spec, around),
        "PortBindings": {
            f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(own)}] for port, own in around.published.items()
        },
        **_limits(spec.limits),
    }
    if spec.options.read_only:
        host["Tmpfs"] = {"/tmp": "rw,exec,nosuid,nodev,mode=1777"}  # noqa: S108  (inside)
    if around.host_name:
        host["ExtraHosts"] = [f"{HOST_NAME}:host-gateway"]
    return host


def _has_init(image: ImageInfo) -> bool:
    """Some of these work as the first process only."""
    return bool(image.entrypoint) and PurePosixPath(image.entrypoint[0]).name in _INITS


def _limits(limits: Limits) -> dict[str, Any]:
    wanted: dict[str, Any] = {"Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}]}
    if limits.memory is not None:
        wanted |= {"Memory": limits.memory, "MemorySwap": limits.memory}  # the same: none of it is swap
    if limits.processes is not None:
        wanted["PidsLimit"] = limits.processes
    if limits.cpus is not None:
        # Not NanoCpus: more of these than the machine has CPUs is refused.
        wanted |= {"CpuPeriod": _CPU_PERIOD, "CpuQuota": max(_CPU_LEAST, round(limits.cpus * _CPU_PERIOD))}
    if limits.files is not None:
        wanted["Ulimits"].append({"Name": "nofile", "Soft": limits.files, "Hard": limits.files})
    return wanted


def _volumes(spec: InstanceSpec, around: Surroundings) -> list[dict[str, Any]]:
    labels = {name: around.labels[name] for name in ("gitpaas.home", "gitpaas.app")}
    return [
        {
            "Type": "volume",
            "Source": f"{around.volume_prefix}{volume.name}",
            "Target": volume.target,
            "VolumeOptions": {"Labels": labels | {"gitpaas.volume": volume.name}},
        }
        for volume in spec.volumes
    ]
