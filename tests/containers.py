"""Images and containers for tests of the Docker runtime. All that they make carries this test's own mark."""

from __future__ import annotations

import io
import json
import secrets
import shlex
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import engine
from instances import PATIENCE, SERVER, There, stop_all

from gitpaas.config import Config
from gitpaas.engine import Engine
from gitpaas.runtimes import Runtime
from gitpaas.runtimes.docker import DockerRuntime
from gitpaas.values import Artifact, Instance

GONE = "sha256:" + "0" * 64


@dataclass
class Docker(There):
    """Containers of the image with Python, or of variants of it."""

    published: bool | None = None
    images: list[str] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        return Engine(self.config)

    def again(self) -> Runtime:
        return DockerRuntime(self.config, published=self.published)

    def artifact(self, app: str = "demo", **config: object) -> Artifact:
        """`config`: what its Dockerfile says, as the engine's API names it (Cmd, Healthcheck, ExposedPorts ...)."""
        reference = self.variant(**config) if config else inspect("images", engine.PYTHON)["Id"]
        return Artifact("image", reference, "dockerfile", "test", {})

    def gone(self) -> Artifact:
        return Artifact("image", GONE, "dockerfile", "", {})

    def variant(self, **config: object) -> str:
        """An image of the same files that says something else of itself."""
        _, made = engine.call("POST", "/containers/create", {"Image": engine.PYTHON})
        status, image = engine.call("POST", f"/commit?container={made['Id']}", config)
        engine.call("DELETE", f"/containers/{made['Id']}")
        assert status == 201, image
        self.images.append(image["Id"])
        return str(image["Id"])

    def empty(self) -> str:
        """An image without a shell, or anything."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("nothing"))
        buffer.seek(0)
        api = self.engine.api
        answer = api.import_image_from_data(buffer.read(), repository=f"gitpaas-test/{secrets.token_hex(6)}")
        image = str(json.loads(answer.splitlines()[-1])["status"])
        self.images.append(image)
        return image

    def python(self, code: str) -> str:
        return f"exec python3 -I -S -u -c {shlex.quote(code)}"

    def server(self, text: str, bind: str = "0.0.0.0", port: int | None = None) -> str:
        code = SERVER.format(bind=bind, text=text)
        return f"exec python3 -u -c {shlex.quote(code if port is None else code.replace(PORT, str(port)))}"

    def container(self, instance: Instance) -> dict[str, Any]:
        """All that the engine says of it."""
        return inspect("containers", f"gitpaas-{instance.id}")

    def traces(self) -> list[str]:
        mine = [container["Names"][0] for container in engine.labelled("containers", self.config.identity)]
        folders = (self.config.run / "copies", self.config.run / "ports", self.config.locks / "containers")
        return mine + [str(path) for folder in folders if folder.exists() for path in folder.iterdir()]


PORT = 'int(os.environ["PORT"])'


@contextmanager
def docker(config: Config, published: bool | None = None, *, attends: bool = True) -> Iterator[Docker]:
    """Whatever the test leaves running is stopped at its end, and that must leave no trace. `attends`: as in a server,
    output is copied and what is nobody's removed meanwhile."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Docker(DockerRuntime(config, published=published), config, None, published)
    try:
        # The engine of a busy machine may take longer for the last lines than a server would wait.
        with (
            mock.patch("gitpaas.runtimes.docker.runtime._LAST_WORDS", PATIENCE),
            made.runtime.attend() if attends else nullcontext(),
        ):
            try:
                yield made
            finally:
                stop_all(made)
    finally:
        clean(made)
    assert made.traces() == []


def clean(there: Docker) -> None:
    """Networks, volumes and images of the test."""
    identity = there.config.identity
    networks, volumes = engine.labelled("networks", identity), engine.labelled("volumes", identity)
    for app in {one["Labels"]["gitpaas.app"] for one in (*networks, *volumes)}:
        there.runtime.forget(app)
    for image in there.images:
        engine.call("DELETE", f"/images/{image}?force=1")


def inspect(kind: str, name: str) -> dict[str, Any]:
    status, found = engine.call("GET", f"/{kind}/{name}/json")
    assert status == 200, found
    return dict(found)
