"""The apps under tests/apps: one directory each, with what is expected of it in expected.json.

    {"status": 200, "path": "/", "body": "hello"}      it builds, starts, and answers so (the body is a part of it)
    {"build": "fails", "says": "..."}                  the push is told so
    {"start": "never listens" | "crashes", "says": ...}  it builds, and its own last words reach the push

Also: `detects` (the kinds that build it), `web` (the command found), `processes`, `release`, `worker` (what these
write). `"lock": "uv lock"`: a lock file that is made when the app is copied, as it names the package index in use.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

APPS = Path(__file__).parent / "apps"
NAMES = sorted(path.parent.name for path in APPS.glob("*/expected.json"))


def expected(name: str) -> dict[str, Any]:
    """What is expected of the app `name`."""
    document: dict[str, Any] = json.loads((APPS / name / "expected.json").read_text())
    return document


def copy(name: str, target: Path) -> Path:
    """The app's files in `target` (made), as its author would commit them."""
    shutil.copytree(APPS / name, target, ignore=shutil.ignore_patterns("expected.json"), symlinks=True)
    if expected(name).get("lock") == "uv lock":
        from uv import find_uv_bin

        subprocess.run([find_uv_bin(), "lock", "--quiet", "--no-python-downloads"], cwd=target, check=True)
    return target


def builds() -> list[str]:
    """Those that build."""
    return [name for name in NAMES if "build" not in expected(name)]


def answers() -> list[str]:
    """Those that answer in the end."""
    return [name for name in NAMES if "status" in expected(name)]
