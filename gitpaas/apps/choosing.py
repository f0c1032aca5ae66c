"""Which builder makes an app: the one that people chose for it, else the first that understands its tree.

A server that has Docker makes images by itself: by the tree's Dockerfile when there is one, else by Railpack. It makes
a slug only of an app that asks for one, since containers keep apps apart better than plain processes do. A server
without Docker makes slugs and nothing else.
"""

from __future__ import annotations

from gitpaas.builders import Builder
from gitpaas.errors import BuildFailed
from gitpaas.output import Output
from gitpaas.platform import Platform
from gitpaas.values import Artifact, BuildOptions, BuildRequest, Detection


def choose(platform: Platform, request: BuildRequest) -> tuple[Builder, Detection | None]:
    """The builder, and what it takes the tree for. Nothing when it does not understand it: it says so when it builds,
    and what it looked for."""
    if name := asked_for(request.options):
        builder = _named(platform, name, request.app)
        return builder, builder.detect(request.tree)
    for builder in _own(platform):
        if detection := builder.detect(request.tree):
            return builder, detection
    return builder, None


def asked_for(options: BuildOptions) -> str | None:
    """The builder's name, when people have chosen one. Who names a Dockerfile or a stage of it wants it built."""
    return options.builder or ("dockerfile" if options.dockerfile or options.target else None)


def build(platform: Platform, builder: Builder, request: BuildRequest, out: Output) -> Artifact:
    """Let it build. A tree that only a builder nobody asked for understands is told of that one."""
    try:
        return builder.build(request, out)
    except BuildFailed as error:
        if error.step != "detect" or asked_for(request.options):
            raise
        for other in platform.builders:
            if other.kind != builder.kind and (found := other.detect(request.tree)):
                way = f"Or let it run as a {found.label} app without a container: " + _setting(request.app, other.name)
                raise _with_hint(error, way) from error
        raise


def _own(platform: Platform) -> list[Builder]:
    """Those that nobody has to ask for."""
    return [builder for builder in platform.builders if builder.kind == platform.builders[0].kind]


def _named(platform: Platform, name: str, app: str) -> Builder:
    found = next((builder for builder in platform.builders if builder.name == name), None)
    if found is None:
        names = ", ".join(builder.name for builder in platform.builders)
        raise BuildFailed(
            f"The app asks for the builder {name}, which this server cannot use",
            step="builder",
            hint=f"There is: {names}. To let the tree decide: ssh paas builds:set {app} builder= dockerfile= target=",
        )
    return found


def _setting(app: str, builder: str) -> str:
    return f"ssh paas builds:set {app} builder={builder}"


def _with_hint(error: BuildFailed, more: str) -> BuildFailed:
    hint = f"{error.hint}\n{more}" if error.hint else more
    return BuildFailed(error.message, step=error.step, tail=error.tail, hint=hint)
