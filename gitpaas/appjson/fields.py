"""Values of app.json as they are looked at, and the words for what is off: the field, what it holds, what it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gitpaas.errors import BuildFailed


def part(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    return mapping(document.get(name) or {}, name)


def mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(f"{where} is {shown(value)}, not an object")
    return value


def shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def wrong(what: str, hint: str | None = None) -> BuildFailed:
    return BuildFailed(f"app.json: {what}", step="app.json", hint=hint or "Mend app.json, commit, and push again.")
