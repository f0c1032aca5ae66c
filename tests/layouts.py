"""Image layouts as BuildKit writes them, made by hand: a few files a layer, no builder needed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Files = Mapping[str, str]


def write(layout: Path, *layers: Files, packed: Sequence[int] = (), **config: Any) -> Path:
    """An image of these layers; those whose index is in `packed` are compressed. `config`: Labels, Cmd, Env ...

    As BuildKit does, it leaves alone the blobs that are there already, whatever is in them."""
    tars = [_tar(files) for files in layers]
    blobs = [gzip.compress(tar, mtime=0) if index in packed else tar for index, tar in enumerate(tars)]
    image = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        "history": [{"created": "2026-01-02T03:04:05Z", "created_by": f"COPY {', '.join(files)}"} for files in layers],
    }
    media = "application/vnd.docker"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{media}.distribution.manifest.v2+json",
        "config": _blob(layout, _json(image), f"{media}.container.image.v1+json"),
        "layers": [
            _blob(layout, blob, f"{media}.image.rootfs.diff.tar{'.gzip' if index in packed else ''}")
            for index, blob in enumerate(blobs)
        ],
    }
    top = _blob(layout, _json(manifest), manifest["mediaType"])
    (layout / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [top]}))
    return layout


def _blob(layout: Path, content: bytes, kind: str) -> dict[str, Any]:
    path = layout / "blobs" / "sha256" / hashlib.sha256(content).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(content)
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tar(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
