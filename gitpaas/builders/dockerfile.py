"""Images by the tree's own Dockerfile.

Config vars reach its steps as BuildKit secrets, and so never a layer: `RUN --mount=type=secret,id=NAME,env=NAME ...`.
A changed value runs the steps again when the Dockerfile mounts that var. SOURCE_VERSION, the commit, is there for
`ARG SOURCE_VERSION`, and so are the proxies of the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from gitpaas import procfile
from gitpaas import tree as trees
from gitpaas.builders import dockerfile_text
from gitpaas.builders.fingerprint import fingerprint
from gitpaas.buildkit import BuildKit, Job
from gitpaas.config import PROXIES, Config
from gitpaas.engine import Engine
from gitpaas.engine.images import Images
from gitpaas.errors import BuildFailed
from gitpaas.output import Output
from gitpaas.values import Artifact, ArtifactKind, BuildOptions, BuildRequest, Detection, Secret

_USUAL = "Dockerfile"
_LARGEST = 1024 * 1024  # bytes of a Dockerfile
_LONGEST_HOST = 63


class DockerfileBuilder:
    """For trees with a Dockerfile."""

    name = "dockerfile"
    kind: ArtifactKind = "image"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._buildkit = BuildKit(config)

    def detect(self, tree: Path) -> Detection | None:
        return Detection(self.name, _USUAL) if trees.has_file(tree, _USUAL) else None

    def build(self, request: BuildRequest, out: Output) -> Artifact:
        name = _path(request.options)
        text = _read(request.tree, name)
        processes = procfile.read(request.tree) or {}
        base = dockerfile_text.base(text, request.options.target)
        image = self._buildkit.build(job_for(self._config, request, name, text), out)
        return Artifact(
            kind="image",
            reference=image,
            builder=self.name,
            label=_USUAL if name == _USUAL else f"{_USUAL} ({name})",
            # As the image itself starts, unless a Procfile says more than how to prepare a release.
            processes=processes if procfile.says_what_runs(processes) else {"web": "", **processes},
            size=Images(Engine(self._config)).inspect(image).size,
            details={"base": base} if base else {},
        )


def job_for(config: Config, request: BuildRequest, name: str, text: str) -> Job:
    secrets = {key: value for key, value in request.env.items() if isinstance(value, Secret)}
    return Job(
        app=request.app,
        build=request.build,
        tree=request.tree,
        context=request.tree,
        definition=request.tree,
        options={
            **{f"build-arg:{key}": value for key, value in _arguments(request).items()},
            "filename": name,
            # No step of one app comes out of another's cache, where it could have left a secret of that one's or been
            # put for this one to find: steps of another host name are other steps, and so with directories they cache.
            "build-arg:BUILDKIT_SANDBOX_HOSTNAME": _host(config, request, secrets, text),
            "build-arg:BUILDKIT_CACHE_MOUNT_NS": request.app,
            **({"cmdline": "dockerfile.v0"} if dockerfile_text.wants_stock_syntax(text) else {}),
            **({"target": request.options.target} if request.options.target else {}),
        },
        secrets=secrets,
        timeout=request.timeout,
    )


def _path(options: BuildOptions) -> str:
    """Where the Dockerfile is, relative to the tree. BuildFailed for a path that leaves it."""
    path = PurePosixPath(options.dockerfile or _USUAL)
    if path.is_absolute() or ".." in path.parts:
        raise BuildFailed(f"{path} is not a path in the repository", step=_USUAL, hint="Such as: docker/Dockerfile")
    return str(path)


def _read(tree: Path, name: str) -> str:
    data = trees.read_bytes(tree, name, _LARGEST)
    if data is None:
        if name == _USUAL:
            hint = "Add one, or choose another builder: ssh paas builds:set APP builder=railpack"
            raise BuildFailed(f"There is no {name} in the repository", step="detect", hint=hint)
        hint = "The option dockerfile names it. Choose another: ssh paas builds:set APP dockerfile=PATH"
        raise BuildFailed(f"There is no file {name} in the repository", step="detect", hint=hint)
    return data.decode("utf-8", "replace")


def _arguments(request: BuildRequest) -> Mapping[str, str]:
    """Build arguments, which everybody on the machine may see: a proxy that wants a password is not among them."""
    plain = {key: value for key, value in request.env.items() if isinstance(value, str)}
    proxies = {key: plain[key] for key in PROXIES if "@" not in plain.get(key, "@")}
    return {"SOURCE_VERSION": request.commit, **proxies, **request.options.args}


def _host(config: Config, request: BuildRequest, secrets: Mapping[str, Secret], text: str) -> str:
    """The name of the machine that steps see: the app's, and with it what changes with the secrets they mount."""
    used = {key: secrets[key] for key in dockerfile_text.secret_names(text) & secrets.keys()}
    suffix = f"-{fingerprint(config, request.app, used)[:12]}" if used else ""
    return request.app[: _LONGEST_HOST - len(suffix)] + suffix
