"""Which builder makes an app: the one that people chose for it, else the first that understands its tree.

A server that has Docker makes images by itself: by the tree's Dockerfile when there is one, else by Railpack. It makes
a slug only of an app that asks for one, since containers keep apps apart better than plain processes do. A server
without Docker makes slugs and nothing else.
"""

from __future__ import annotations

from contextlib import suppress

from gitpaas.builders import Builder
from gitpaas.errors import BuildFailed, GitpaasError, OutOfReach
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
    """Let it build. Where another one may do what this one cannot, that is told."""
    try:
        return builder.build(request, out)
    except GitpaasError as error:
        if way := _another_way(platform, builder, request, error):
            error.hint = f"{error.hint}\n{way}" if error.hint else way
        raise


def _another_way(platform: Platform, builder: Builder, request: BuildRequest, error: GitpaasError) -> str:
    """Of a tree that only a builder nobody asked for understands, or that Railpack cannot get the means for."""
    is_unknown = isinstance(error, BuildFailed) and error.step == "detect" and not asked_for(request.options)
    is_cut_off = isinstance(error, OutOfReach) and builder.name == "railpack"
    if not (is_unknown or is_cut_off):
        return ""
    for other in platform.builders:
        if other.kind != builder.kind and (found := _detected(other, request)):
            which = ", which takes neither Railpack nor images" if is_cut_off else ""
            setting = f"ssh paas builds:set {request.app} builder={other.name}"
            return f"Or let it run as a {found.label} app without a container{which}: {setting}"
    return ""


def _detected(builder: Builder, request: BuildRequest) -> Detection | None:
    with suppress(BuildFailed):  # what is wrong for one that nobody has asked is nothing to tell
        return builder.detect(request.tree)
    return None


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
