"""runc, which starts the steps of image builds: BuildKit's own when its archive brought one, else Docker Engine's."""

from __future__ import annotations

import shutil
from pathlib import Path

NAMES = ("buildkit-runc", "runc")  # in the order that buildkitd looks for them
HINT = "It comes with Docker Engine (Debian, Ubuntu: apt-get install runc), or put one into the tools directory."


def find(path: str) -> Path | None:
    """The one that buildkitd would take, given this PATH."""
    return next((Path(found) for name in NAMES if (found := shutil.which(name, path=path))), None)
