"""builds:set and ps:set: what people say of an app's builds and instances, where its tree says nothing."""

from __future__ import annotations

from collections.abc import Sequence

from gitpaas.apps import options
from gitpaas.builders import BUILDERS
from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.pairs import app_to_set, parse, written
from gitpaas.commands.parameters import app_argument, pairs_argument
from gitpaas.errors import UsageError
from gitpaas.values import BuildOptions, RunOptions


@command("builds:set", role="deploy", changes=True)
@app_argument
@pairs_argument
def builds(call: Call, app: str, pairs: Sequence[str]) -> None:
    """Say how an app is built: builder, root, dockerfile, target, arg:NAME. Without values, print what was said.

    builder=railpack|dockerfile|slug, else the tree decides; root=DIRECTORY of the repository that is the app;
    dockerfile=PATH below that; target=STAGE and arg:NAME=VALUE of a Dockerfile (an image shows its arguments to
    whoever has it: secrets belong into config vars). An empty value unsets.
    """
    found = app_to_set(call, app, pairs)
    changes = parse(pairs, "root=apps/web")
    nothing = f"{app}: the tree decides how it is built."
    if not changes:
        return _show(call, options.of_builds(found), nothing)
    chosen = options.update(call.platform, found, options.of_builds, lambda now: _usable(call, now, changes))
    call.note(" ".join(_shown(key, value) for key, value in changes.items()))
    _show(call, chosen, nothing)
    again = f" To build the live commit again with it: {call.program} ps:rebuild {app}" if found.release else ""
    call.say(f"The next push is built so.{again}")
    return None


@command("ps:set", role="deploy", changes=True)
@app_argument
@pairs_argument
def instances(call: Call, app: str, pairs: Sequence[str]) -> None:
    """Say how an app's instances run: port, read-only. Without values, print what was said.

    port=PORT is where web listens when it does not care for the variable PORT; read-only=on leaves nothing to write to
    but /tmp and the app's storage. An empty value unsets.
    """
    found = app_to_set(call, app, pairs)
    changes = parse(pairs, "port=3000")
    nothing = f"{app}: nothing is said of how its instances run."
    if not changes:
        return _show(call, options.of_instances(found), nothing)
    _require_able(call, changes)
    chosen = options.update(
        call.platform, found, options.of_instances, lambda now: options.change_instances(now, changes)
    )
    call.note(written(changes))
    _show(call, chosen, nothing)
    runs = bool(found.release) and not found.stopped
    now = f" To start them anew, without downtime: {call.program} ps:restart {app}" if runs else ""
    call.say(f"Instances run so from their next start on.{now}")
    return None


def _show(call: Call, chosen: BuildOptions | RunOptions, nothing: str) -> None:
    lines = [f"{key}={value}" for key, value in options.written(chosen).items()]
    call.say("\n".join(lines) or nothing)


def _shown(key: str, value: str) -> str:
    """For the event: an argument's value may be somebody's secret all the same."""
    return key if key.startswith("arg:") else f"{key}={value}"


def _usable(call: Call, now: BuildOptions, changes: dict[str, str]) -> BuildOptions:
    chosen = options.change_builds(now, changes)
    _require_builder(call, chosen)
    return chosen


def _require_builder(call: Call, chosen: BuildOptions) -> None:
    """UsageError unless this server can use the builder that is asked for."""
    from gitpaas import platform
    from gitpaas.apps import choosing

    name = choosing.asked_for(chosen)
    kinds = {builder.name: builder.kind for builder in BUILDERS}
    if name is not None and name not in kinds:
        raise UsageError(f"{name[:80]!r} is not a builder.", f"There are: {', '.join(kinds)}.")
    if name is not None and kinds[name] not in call.platform.artifacts:
        raise UsageError(
            f"The builder {name} makes images, and this server runs plain processes. "
            f"{platform.choose(call.config).why}",
            "Start Docker Engine and set runtime = docker; `doctor` says what else is missing.",
        )


def _require_able(call: Call, changes: dict[str, str]) -> None:
    if changes.get("port") and "image" not in call.platform.artifacts:
        raise UsageError(
            "A plain process is told its port: it must listen on $PORT. Only containers may choose.",
            "Have the app read the variable PORT.",
        )


COMMANDS_OF_BUILDS = (builds,)
COMMANDS_OF_PS = (instances,)
