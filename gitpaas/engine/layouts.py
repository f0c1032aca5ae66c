"""How a built image gets into the engine without the layers that are there already.

BuildKit writes an OCI image layout: a directory of blobs named by their hashes, to which it sends only what is not
there yet. So an empty file stands in for each layer that the engine has, and the archive which the engine then loads
leaves these layers out: it finds them by their chain of diff ids. On the way the image gets its labels, whatever made
it: its config is a small JSON document in the archive.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitpaas.engine.ask import ask
from gitpaas.engine.client import Engine
from gitpaas.engine.images import Images
from gitpaas.errors import BuildFailed, EngineFailed

_PIECE = 1024 * 1024
_BLOCK = 512  # of a tar
_LIKELY = 3  # of the newest images: a build shares its layers with one of these or with none
_EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"  # of a step that changes nothing
_BLOBS = "gitpaas.layers"  # label: under which hashes the layout had the layers, "" where that is the diff id itself

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Chain = tuple[str, ...]  # the diff ids of a layer and of all below it


@dataclass(frozen=True)
class _Layer:
    chain: Chain
    blob: str  # sha256:...
    path: Path

    @property
    def is_there(self) -> bool:
        return self.path.stat().st_size > 0


class Layouts:
    """From a directory that BuildKit has written into the engine. One object for each build."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images = Images(engine)
        self._wanted: set[str] = {_EMPTY}  # blobs that no file stands in for: they turn up on top of anything

    def prepare(self, layout: Path, app: str) -> None:
        """Put stand-ins into an empty directory for what the engine has of the app's last images."""
        folder = layout / "blobs" / "sha256"
        folder.mkdir(parents=True)
        for blob in set(self._there(app).values()) - self._wanted:
            if _DIGEST.fullmatch(blob):  # a label may be of an image that came in another way: anybody's words
                _path(layout, blob).touch()

    def load(self, layout: Path, name: str, labels: Mapping[str, str]) -> str | None:
        """The id of the image in the engine, with this name and these labels (gitpaas.app among them).

        None when a layer is needed that has only a stand-in: prepare an empty directory again, in which these have
        none, and have it filled. EngineFailed when the engine does not take what is complete."""
        manifest, config = _read(layout)
        layers = _layers(layout, manifest, config)
        left_out = {layer.blob for layer in layers if not layer.is_there}
        if lacking := _lacking(layers, self._there(labels["gitpaas.app"]) if left_out else {}):
            self._wanted |= lacking
            return None
        archive = _archive(manifest, _labelled(config, layers, labels), [layer for layer in layers if layer.is_there])
        try:
            image = self._images.load(archive)
        except EngineFailed:
            if left_out:  # removed in this very moment; with all layers it can be told what is wrong
                self._wanted |= left_out
                return None
            raise
        self._images.tag(image, name)
        return image

    def _there(self, app: str) -> dict[Chain, str]:
        """Layers that the engine surely has, and what a layout calls them."""
        newest = sorted(self._listed(app=app) or self._listed(), key=_build, reverse=True)[:_LIKELY]
        there: dict[Chain, str] = {}
        for image in newest:
            diffs, blobs = self._layers(image["Id"]), image["Labels"].get(_BLOBS, "").split(",")
            blobs += [""] * (len(diffs) - len(blobs))
            there |= {diffs[: n + 1]: blob or diff for n, (diff, blob) in enumerate(zip(diffs, blobs, strict=False))}
        return there

    def _listed(self, **labels: str) -> list[dict[str, Any]]:
        query = {"filters": json.dumps(self._engine.filters(**labels))}
        return list(ask(self._engine, "/images/json", query) or ())

    def _layers(self, image: str) -> tuple[str, ...]:
        """Diff ids; none of an image that is gone by now."""
        try:
            return tuple(ask(self._engine, f"/images/{image}/json")["RootFS"].get("Layers") or ())
        except EngineFailed as error:
            if error.status != 404:
                raise
            return ()


def _build(image: Mapping[str, Any]) -> int:
    number = image["Labels"].get("gitpaas.build", "")
    return int(number) if number.isdigit() else 0


def _read(layout: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and config of the one image in it. BuildFailed when that has no layer."""
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(_path(layout, index["manifests"][-1]["digest"]).read_bytes())
    config = json.loads(_path(layout, manifest["config"]["digest"]).read_bytes())
    if not manifest["layers"]:
        raise BuildFailed("The image is empty", step="FROM scratch", hint="COPY something into it.")
    return manifest, config


def _layers(layout: Path, manifest: Mapping[str, Any], config: Mapping[str, Any]) -> list[_Layer]:
    diffs = tuple(config["rootfs"]["diff_ids"])
    blobs = [layer["digest"] for layer in manifest["layers"]]
    return [_Layer(diffs[: n + 1], blob, _path(layout, blob)) for n, blob in enumerate(blobs)]


def _lacking(layers: Collection[_Layer], there: Mapping[Chain, str]) -> set[str]:
    """Blobs of neither the directory nor, on top of the same layers, the engine."""
    return {layer.blob for layer in layers if not layer.is_there and there.get(layer.chain) != layer.blob}


def _labelled(config: Mapping[str, Any], layers: Collection[_Layer], labels: Mapping[str, str]) -> dict[str, Any]:
    """What the tree's Dockerfile says in our own words (LABEL gitpaas.app=...) is not believed."""
    own: dict[str, Any] = dict(config.get("config") or {})
    theirs = {name: value for name, value in (own.get("Labels") or {}).items() if not name.startswith("gitpaas.")}
    blobs = ",".join("" if layer.blob == layer.chain[-1] else layer.blob for layer in layers).rstrip(",")
    return {**config, "config": {**own, "Labels": {**theirs, **labels, _BLOBS: blobs}}}


def _archive(manifest: Mapping[str, Any], config: Mapping[str, Any], sent: Collection[_Layer]) -> Iterator[bytes]:
    """As `docker save` writes it: an OCI layout, with the older manifest.json for engines that look for that."""
    body = json.dumps(config).encode()
    described = {**manifest["config"], "digest": _digest(body), "size": len(body)}
    listing = json.dumps({**manifest, "config": described}).encode()
    top = {"mediaType": manifest["mediaType"], "digest": _digest(listing), "size": len(listing)}
    older = {"Config": _name(described["digest"]), "Layers": [_name(layer["digest"]) for layer in manifest["layers"]]}
    for layer in {layer.blob: layer for layer in sent}.values():
        yield from _file(layer)
    yield _entry(_name(described["digest"]), body)
    yield _entry(_name(top["digest"]), listing)
    yield _entry("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    yield _entry("index.json", json.dumps({"schemaVersion": 2, "manifests": [top]}).encode())
    yield _entry("manifest.json", json.dumps([{**older, "RepoTags": None}]).encode())
    yield bytes(2 * _BLOCK)


def _entry(name: str, content: bytes) -> bytes:
    return _header(name, len(content)) + content + _padding(len(content))


def _file(layer: _Layer) -> Iterator[bytes]:
    size = layer.path.stat().st_size
    yield _header(_name(layer.blob), size)
    with layer.path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
    yield _padding(size)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)  # which knows files of more than 8 GB


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"


def _path(layout: Path, digest: str) -> Path:
    return layout / _name(digest)
