"""What a Dockerfile says of itself, as far as a build must know it beforehand. BuildKit alone understands the rest."""

from __future__ import annotations

import re

# `# syntax=docker/dockerfile:1.7`, among the comments at the very top.
_DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(\S+)")
_STOCK = re.compile(r"(docker\.io/)?docker/dockerfile(:(latest|1(\.\d+){0,2}))?")
_SECRET = re.compile(r"--mount=(\S*type=secret\S*)")
_ID = re.compile(r"(?:^|,)(?:id|source|src)=([A-Za-z_]\w*)")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE | re.MULTILINE)


def wants_stock_syntax(text: str) -> bool:
    """Whether it asks for the frontend that BuildKit has within: then there is no need to fetch an image of that."""
    for line in text.removeprefix("\ufeff").splitlines():
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            return False
        if match[1].lower() == "syntax":
            return _STOCK.fullmatch(match[2]) is not None
    return False


def secret_names(text: str) -> set[str]:
    """The config vars that its steps mount."""
    return {name for mount in _SECRET.findall(text) for name in _ID.findall(mount)}


def base(text: str, target: str | None) -> str | None:
    """The image that the last stage (or `target`) starts from in the end; None when that cannot be told from here."""
    stages = _FROM.findall(text)
    if not stages:
        return None
    origin = {alias.lower(): image for image, alias in stages if alias}
    image = origin.get(target.lower()) if target else stages[-1][0]
    for _ in stages:
        if image is None or image.lower() not in origin:
            break
        image = origin[image.lower()]
    return image if image and "$" not in image else None
