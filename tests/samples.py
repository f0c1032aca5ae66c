"""The apps under tests/apps: one directory each, with what is expected of it in expected.json.

    {"status": 200, "path": "/", "body": "hello"}      it builds, starts, and answers so (the body is a part of it)
    {"build": "fails", "says": "..."}                  the push is told so
    {"start": "never listens" | "crashes", "says": ...}  it builds, and its own last words reach the push

Also: `detects` (the kinds that build it), `web` (the command found), `processes`, `release`, `worker` (what these
write). `"builder": "railpack"` or "dockerfile": it wants an image, and the others are what any runtime takes.
`config`: config vars that are set before it is pushed.
`"lock": "uv lock"`: a lock file that is made when the app is copied, as it names the package index in use.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

APPS = Path(__file__).parent / "apps"
_EXPECTED: dict[str, dict[str, Any]] = {
    path.parent.name: json.loads(path.read_text()) for path in sorted(APPS.glob("*/expected.json"))
}
NAMES = [name for name, expected in _EXPECTED.items() if "builder" not in expected]


def expected(name: str) -> dict[str, Any]:
    """What is expected of the app `name`."""
    return _EXPECTED[name]


def copy(name: str, target: Path) -> Path:
    """The app's files in `target` (made), as its author would commit them."""
    shutil.copytree(APPS / name, target, ignore=shutil.ignore_patterns("expected.json"), symlinks=True)
    if expected(name).get("lock") == "uv lock":
        from uv import find_uv_bin

        subprocess.run([find_uv_bin(), "lock", "--quiet", "--no-python-downloads"], cwd=target, check=True)
    return target


def images(builder: str | None = None) -> list[str]:
    """Those that want an image, by this builder or by any."""
    wanted = (builder,) if builder else ("railpack", "dockerfile")
    return [name for name, expected in _EXPECTED.items() if expected.get("builder") in wanted]


def builds() -> list[str]:
    """Those that build."""
    return [name for name in NAMES if "build" not in expected(name)]


def answers() -> list[str]:
    """Those that answer in the end."""
    return [name for name in NAMES if "status" in expected(name)]
