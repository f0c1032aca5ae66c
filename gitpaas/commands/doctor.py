"""doctor: what this machine has of what gitpaas needs, and what to do about the rest."""

from __future__ import annotations

from dataclasses import asdict

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.commands.parameters import format_option

_MARKS = {"ok": "", "poor": "poor", "missing": " !"}


@command("doctor", role="admin")
@format_option
def doctor(call: Call, style: str) -> int:
    """Say which runtime was chosen and why, and what this machine lacks. Exit 1 when that is something needed."""
    from gitpaas.doctor import examine

    findings = examine(call.config)
    if style == "json":
        call.say_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            call.say(f"{_MARKS[finding.state]:<6}{finding.what:<{width}}  {finding.text}")
            if finding.hint:
                call.say(f"{'':{width + 8}}{finding.hint}")
    return 1 if any(finding.state == "missing" for finding in findings) else 0


COMMANDS = (doctor,)
