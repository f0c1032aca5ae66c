"""toolchain: the programs that image builds need. What is there, installing it, and whether it is still whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option
from gitpaas.commands.table import Column, render

if TYPE_CHECKING:
    from gitpaas.toolchain import Finding, Toolchain, ToolState


@command("toolchain", role="admin")
@format_option
def listing(call: Call, style: str) -> None:
    """List the programs that image builds need: version, state, where each came from, size."""
    states = _toolchain(call).installed()
    if style == "json":
        return call.say_json([_describe(state) for state in states])
    columns = (Column("TOOL"), Column("VERSION"), Column("STATE"), Column("SOURCE"), Column("SIZE"))
    call.say(render(columns, [_row(state) for state in states], call.console.width))
    if any(state.state != "ready" for state in states):
        call.say("What is not ready is installed by the first build that needs it, or now: gitpaas toolchain:install")
    return None


@command("toolchain:install", role="admin", local=True, changes=True)
@click.argument("tool", metavar="TOOL", required=False)
@click.option("--into", metavar="DIR", help="Copy the programs into DIR too, ready to be another server's `tools`.")
def install(call: Call, tool: str | None, into: str | None) -> None:
    """Install what is missing or damaged, or one tool alone."""
    toolchain = _toolchain(call)
    call.note(tool or "")
    progress = call.progress()
    progress.step(f"Installing {tool or 'what image builds need'}")
    if into:
        toolchain.copy_into(Path(into).absolute(), tool, progress.detail)
        call.say(f"Copied into {into}. Use it: tools = {str(Path(into).absolute())!r} in gitpaas.toml")
    else:
        toolchain.install(tool, progress.detail)
    call.say("All there.")


@command("toolchain:check", role="admin")
@format_option
def check(call: Call, style: str) -> int:
    """Compare every program with what was installed, and ask it for its version. Exit 1 when something is off."""
    findings = _toolchain(call).check()
    if style == "json":
        call.say_json([_report(finding) for finding in findings])
    else:
        rows = [(finding.binary, "ok" if finding.ok else "off", finding.text) for finding in findings]
        columns = (Column("PROGRAM"), Column("STATE"), Column("WHAT", text=True))
        call.say(render(columns, rows, call.console.width))
        for hint in dict.fromkeys(finding.hint for finding in findings if finding.hint):
            call.say(f" !     {hint}")
    return 0 if all(finding.ok for finding in findings) else 1


def _toolchain(call: Call) -> Toolchain:
    from gitpaas.toolchain import Toolchain

    return Toolchain(call.config)


def _row(state: ToolState) -> tuple[str, ...]:
    size = f"{state.size / 1024**2:.0f} MB" if state.size else "-"
    return (state.tool, state.version or "-", state.state, state.source or "-", size)


def _describe(state: ToolState) -> dict[str, Any]:
    return {
        "tool": state.tool,
        "version": state.version,
        "state": state.state,
        "source": state.source,
        "path": str(state.path) if state.path else None,
        "size": state.size,
    }


def _report(finding: Finding) -> dict[str, Any]:
    named = {"tool": finding.tool, "program": finding.binary}
    return {**named, "ok": finding.ok, "text": finding.text, "hint": finding.hint}


COMMANDS = (listing, install, check)
