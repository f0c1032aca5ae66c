"""README's generated tables: between `<!-- NAME -->` and the next `<!-- end -->`. Who may do what is tried out."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gitpaas.commands.base import Command
from gitpaas.commands.every import COMMANDS
from gitpaas.config import settings
from gitpaas.names import PROVIDED

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def main() -> None:
    README.write_text(filled(README.read_text()))


def filled(text: str) -> str:
    """The text with all tables as the code has them."""
    for name, lines in (
        ("commands", _commands()),
        ("access", _access()),
        ("settings", _settings()),
        ("provided", _provided()),
    ):
        block = "\n".join([f"<!-- {name} -->", *lines, "<!-- end -->"])
        text = re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _, block=block: block, text, flags=re.DOTALL)
    return text


def _commands() -> list[str]:
    rows = [
        f"| `{_cell(command.synopsis())}` | {_cell(_about(command))} | {'local' if command.local else command.role} |"
        for command in COMMANDS
        if not command.hidden
    ]
    return ["| command | what it does | role |", "|---|---|---|", *rows]


def _about(command: Command) -> str:
    return " ".join([command.title, *(f"`{option}`: {text}" for option, text in command.options())])


def _access() -> list[str]:
    sys.path.insert(0, str(ROOT / "tests"))
    import matrix

    return matrix.table()


def _settings() -> list[str]:
    rows = [f"| {_code(s.name)} | {_code(s.variable)} | {_code(s.default)} | {_cell(s.doc)} |" for s in settings()]
    return ["| setting | variable | default | |", "|---|---|---|---|", *rows]


def _provided() -> list[str]:
    return ["| variable | what it is |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in PROVIDED.items())]


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
