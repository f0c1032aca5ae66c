"""The images that tests pull, put into a registry of this machine's own, so that no other one is needed.

Usage: images.py REGISTRY LAYERS TOOLS, where LAYERS has debian.tar and python.tar, and TOOLS has railpack and mise.
What builds ask docker.io and ghcr.io for is there under the same names, to be reached by a mirror; Docker Engine gets
gitpaas-test/debian and gitpaas-test/python of them. Done already: 0.1 s.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import socket
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"  # not compressed: on one machine that only takes time
_ENGINE = "/var/run/docker.sock"

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MISE = (f"PATH=/mise/shims:{_PATH}", "MISE_DATA_DIR=/mise", "MISE_CONFIG_DIR=/mise", "MISE_CACHE_DIR=/mise/cache")


@dataclass(frozen=True)
class Image:
    name: str
    layers: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    env: tuple[str, ...] = (f"PATH={_PATH}",)
    engine: str = ""  # what Docker Engine is to call it, if it shall have it


_PINS = tomllib.loads((Path(__file__).parents[1] / "gitpaas/toolchain/tools.toml").read_text())["tools"]
_RAILPACK = _PINS["railpack"]["version"]
_BASED_ON = Path(_PINS["mise"]["seen_at"]).name  # mise-2026.3.17: Railpack asks for the images made with its mise

IMAGES = (
    Image("library/debian:bookworm-slim", ("debian",), {"Cmd": ["bash"]}, engine="gitpaas-test/debian"),
    Image("library/python:3.11-slim", ("debian", "python"), {"Cmd": ["python3"]}, engine="gitpaas-test/python"),
    Image("library/alpine:latest", ("debian",), {"Cmd": ["/bin/sh"]}),
    Image(f"railwayapp/railpack-builder:{_BASED_ON}", ("debian", "mise"), env=_MISE),
    Image(f"railwayapp/railpack-runtime:{_BASED_ON}", ("debian",)),
    Image(f"railwayapp/railpack-frontend:v{_RAILPACK}", ("railpack",), {"Entrypoint": ["/railpack", "frontend"]}),
)
PROGRAMS = {"mise": "usr/local/bin/mise", "railpack": "railpack"}


def main(address: str, layers: Path, tools: Path) -> None:
    registry = Registry(address)
    last = Image(f"gitpaas-test/complete:{_fingerprint(layers, tools)}", ())
    if not registry.image_id(last.name):
        blobs = {name: Blob(_LAYER, (layers / f"{name}.tar").read_bytes()) for name in ("debian", "python")}
        blobs |= {name: Blob(_LAYER, _archive(tools / name, inside)) for name, inside in PROGRAMS.items()}
        for image in (*IMAGES, last):
            registry.push(image, [blobs[name] for name in image.layers])
    for image in IMAGES:
        if image.engine:
            _give_to_engine(address, image, registry.image_id(image.name))


class Blob:
    def __init__(self, kind: str, content: bytes) -> None:
        self.content = content
        self.digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.described = {"mediaType": kind, "size": len(content), "digest": self.digest}


class Registry:
    """A registry without a login, over plain HTTP, as the distribution specification has it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._repository_of: dict[str, str] = {}

    def image_id(self, name: str) -> str:
        """The digest of the image's configuration, which is its id in Docker Engine; "" without that image."""
        status, _, body = self._call("GET", _manifest_path(name), headers={"Accept": _MANIFEST})
        return str(json.loads(body)["config"]["digest"]) if status == 200 else ""

    def push(self, image: Image, layers: list[Blob]) -> None:
        config = Blob(_CONFIG, json.dumps(_configuration(image, layers)).encode())
        for blob in (*layers, config):
            self._upload(image.name.partition(":")[0], blob)
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config.described}
        manifest["layers"] = [layer.described for layer in layers]
        self._must("PUT", _manifest_path(image.name), json.dumps(manifest).encode(), {"Content-Type": _MANIFEST})

    def _upload(self, repository: str, blob: Blob) -> None:
        """Take it over from the repository that has it already, else send it."""
        origin = self._repository_of.setdefault(blob.digest, repository)
        place = f"/v2/{repository}/blobs/uploads/?mount={blob.digest}&from={origin}"
        status, location = self._must("POST", place)
        if status == 202:
            kind = {"Content-Type": "application/octet-stream"}
            self._must("PUT", f"{location}&digest={blob.digest}", blob.content, kind)

    def _must(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        status, location, answer = self._call(method, path, body, headers)
        if status not in (201, 202):
            raise SystemExit(f"{method} {path} at the registry {self._address}: {status} {answer.decode()}")
        return status, location.removeprefix(f"http://{self._address}")

    def _call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        return _exchange(HTTPConnection(self._address, timeout=60), method, path, body, headers)


class Engine(HTTPConnection):
    """Docker Engine's API at its usual socket."""

    def __init__(self) -> None:
        super().__init__("localhost", timeout=60)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(_ENGINE)


def _give_to_engine(address: str, image: Image, wanted: str) -> None:
    status, _, found = _exchange(Engine(), "GET", f"/images/{image.engine}:latest/json")
    if status == 200 and json.loads(found)["Id"] == wanted:
        return
    pulled = f"{address}/{image.name}"
    _, _, answer = _exchange(Engine(), "POST", f"/images/create?fromImage={pulled}")
    status, _, refused = _exchange(Engine(), "POST", f"/images/{pulled}/tag?repo={image.engine}&tag=latest")
    if status != 201:
        raise SystemExit(f"Docker Engine did not take {pulled}: {(answer + refused).decode()}")


def _exchange(
    connection: HTTPConnection, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, str, bytes]:
    """Status, Location and body of the answer."""
    with closing(connection):
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location", ""), answer.read()


def _manifest_path(name: str) -> str:
    repository, _, tag = name.partition(":")
    return f"/v2/{repository}/manifests/{tag}"


def _configuration(image: Image, layers: list[Blob]) -> dict[str, Any]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "architecture": machine,
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {**image.config, "Env": list(image.env)},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created_by": image.name} for _ in layers],
    }


def _archive(program: Path, inside: str) -> bytes:
    """A layer with one program. The same program makes the same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive, program.open("rb") as content:
        entry = tarfile.TarInfo(inside)
        entry.size, entry.mode = program.stat().st_size, 0o755
        archive.addfile(entry, content)
    return out.getvalue()


def _fingerprint(layers: Path, tools: Path) -> str:
    """Changes with what the images are made of, and with this file."""
    inputs = [layers / "debian.tar", layers / "python.tar", *(tools / name for name in PROGRAMS)]
    facts = [(path.stat().st_size, path.stat().st_mtime_ns) for path in inputs]
    named = [image.name for image in IMAGES]
    return hashlib.sha256(Path(__file__).read_bytes() + repr((named, facts)).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
