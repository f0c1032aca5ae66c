"""Docker Engine, the registry and the programs that build images, as scripts/test-engine readies them for tests."""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

SOCKET = "/var/run/docker.sock"
REGISTRY = os.environ.get("GITPAAS_TESTS_REGISTRY", "127.0.0.1:5001")
TOOLS = Path(os.environ.get("GITPAAS_TESTS_TOOLS", "/var/cache/gitpaas-tools"))
DEBIAN = "gitpaas-test/debian"  # in the engine; in the registry as debian:bookworm-slim
PYTHON = "gitpaas-test/python"  # in the engine; in the registry as python:3.11-slim


def settings() -> dict[str, str]:
    """GITPAAS_ variables, without that prefix, of a server whose builds need nothing but Debian's mirror and PyPI."""
    return {
        "TOOLS": str(TOOLS),
        "REGISTRY_MIRRORS": f"docker.io={REGISTRY},ghcr.io={REGISTRY}",
        "INSECURE_REGISTRIES": REGISTRY,
    }


def variables() -> dict[str, str]:
    """The same with the prefix, for `gitpaas.config.load`."""
    return {f"GITPAAS_{name}": value for name, value in settings().items()}


@cache
def has_docker() -> bool:
    """Whether the engine answers us, and has the images that tests start."""
    try:
        return all(call("GET", f"/images/{name}:latest/json")[0] == 200 for name in (DEBIAN, PYTHON))
    except OSError:
        return False


@cache
def has_buildkit() -> bool:
    """Whether BuildKit is there, and the registry that has what it pulls."""
    return _has("buildkitd", "buildctl") and _is_in_registry("library/debian", "bookworm-slim")


@cache
def has_railpack() -> bool:
    return has_buildkit() and _has("railpack", "mise") and _is_in_registry("railwayapp/railpack-frontend", "v0.23.0")


def call(method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of one call of the engine's API, which needs none of our own code."""
    connection = HTTPConnection("docker", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(SOCKET)
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    finally:
        connection.close()


def labelled(kind: str, home: str) -> list[dict[str, Any]]:
    """All containers, images, networks or volumes that carry this value of gitpaas.home."""
    query = quote(json.dumps({"label": [f"gitpaas.home={home}"]}))
    found = call("GET", f"/{kind}{'/json' if kind in ('containers', 'images') else ''}?all=1&filters={query}")[1]
    return list((found["Volumes"] if kind == "volumes" else found) or [])


def clear(home: str) -> None:
    """Remove them all, as the end of a test."""
    for container in labelled("containers", home):
        call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
    for image in labelled("images", home):
        call("DELETE", f"/images/{image['Id']}?force=1")
    for network in labelled("networks", home):
        call("DELETE", f"/networks/{network['Id']}")
    for volume in labelled("volumes", home):
        call("DELETE", f"/volumes/{volume['Name']}")


def _has(*programs: str) -> bool:
    return all(os.access(TOOLS / name, os.X_OK) for name in programs)


def _is_in_registry(repository: str, tag: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{REGISTRY}/v2/{repository}/manifests/{tag}", timeout=60).close()
    except OSError:
        return False
    return True
