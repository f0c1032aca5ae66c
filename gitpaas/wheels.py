"""Programs that came with us in a wheel: `pip install` put them beside gitpaas, or wherever its scheme has programs."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path


def find(wheel: str, program: str, path: str | None) -> Path | None:
    """The wheel's own, wherever the wheel was installed, else one on `path`, a PATH."""
    found = _of(wheel, program) or shutil.which(program, path=path)
    return Path(found).resolve() if found else None


def _of(wheel: str, program: str) -> str | None:
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    programs = (str(file.locate()) for file in files if file.name == program)
    return next((one for one in programs if os.access(one, os.X_OK)), None)
