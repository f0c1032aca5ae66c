"""What Railpack makes of a tree: the plan of the image, the versions it chose, and what it says about it.

This is the JSON of `railpack info`: the analysis of `railpack prepare`, with the plan in it and, other than there,
with the reason when it fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gitpaas.builders import railpack_look
from gitpaas.errors import ToolFailed

# Of what Railpack says nobody needs: that it looked for a start.sh, what the headline says, and what we read ourselves.
_NOISE = re.compile(
    r"script start\.sh not found|Detected \w+$|Found \S+ command in Procfile|The config file format is not yet"
)
_FROM_CONFIG = re.compile(r"Using provider (\w+) from config")
_PACKAGE = re.compile(r"[a-z0-9][\w:./+-]*", re.ASCII)
_VERSION = re.compile(r"[\w.+-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class Package:
    """`version`: "3.12.3". `origin`: who asked for it and for what, in words: "railpack default: 3.12"."""

    version: str
    origin: str


@dataclass(frozen=True)
class Analysis:
    """`provider` is "" for a tree that only its configuration explains. `plan` is None when there is an `error`."""

    version: str  # Railpack's own; "dev" when whoever built it did not say
    provider: str
    plan: dict[str, Any] | None
    packages: Mapping[str, Package]
    said: tuple[tuple[str, str], ...]  # level (info, warn, error) and text, oldest first

    @property
    def error(self) -> str | None:
        """Why there is no plan: the last of what went wrong."""
        return next((text for level, text in reversed(self.said) if level == "error"), None)

    @property
    def start(self) -> str:
        """The command that the image starts with; "" when Railpack found none."""
        return str((self.plan or {}).get("deploy", {}).get("startCommand") or "")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables that steps are given, by name."""
        return tuple((self.plan or {}).get("secrets") or ())

    @property
    def label(self) -> str:
        """ "Python 3.12", "Static"; "" when there is no provider."""
        name = railpack_look.label(self.provider) if self.provider else ""
        package = self.packages.get(railpack_look.package(self.provider))
        short = re.match(r"\d+(?:\.\d+)?", package.version) if package else None
        return f"{name} {short[0]}" if short else name

    @property
    def details(self) -> dict[str, str]:
        """What is kept with the build. No package has a capital first: what is not a version stands apart."""
        versions = {name: package.version for name, package in sorted(self.packages.items())}
        return versions | {"Provider": self.provider or "none", "Railpack": self.version}

    def lines(self) -> Iterator[str]:
        """What the pusher should read of it."""
        for level, text in self.said:
            if level != "error" and not _NOISE.match(text):
                yield text.strip()
        for name, package in sorted(self.packages.items()):
            yield f"{name} {package.version} ({package.origin})"


def parse(text: str) -> Analysis:
    """ToolFailed when this is not what Railpack writes."""
    try:
        data = json.loads(text)
        plan = data.get("plan") if data.get("success") else None
        said = tuple((str(line["Level"]), str(line["Msg"])) for line in data.get("logs") or ())
        return Analysis(
            version=str(data.get("railpackVersion") or ""),
            provider=_chosen(said) or str((data.get("detectedProviders") or [""])[0]),
            plan=_checked(plan),
            packages={
                str(name): _package(found)
                for name, found in (data.get("resolvedPackages") or {}).items()
                if found.get("resolvedVersion")
            },
            said=said,
        )
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ToolFailed(f"Railpack's answer cannot be understood: {error!r}") from error


def previous(details: Mapping[str, str]) -> dict[str, str]:
    """Of what was kept with a build (of whichever builder), the packages with their versions."""
    return {
        name: version
        for name, version in sorted(details.items())
        if _PACKAGE.fullmatch(name) and _VERSION.fullmatch(version)
    }


def _chosen(said: Iterable[tuple[str, str]]) -> str:
    """The provider that railpack.json names: Railpack tells of it in words only, and goes on to say what it would have
    detected."""
    return next((match[1].lower() for _, text in said if (match := _FROM_CONFIG.match(text))), "")


def _checked(plan: Any) -> dict[str, Any] | None:
    """The parts that we read ourselves are what they should be; the rest is for Railpack's own frontend."""
    if plan is None:
        return None
    names = [*(plan.get("secrets") or ()), *(step.get("name") for step in plan.get("steps") or ())]
    if not isinstance(plan.get("deploy"), dict) or not all(isinstance(name, str) for name in names):
        raise ValueError("its plan is no plan")
    return dict(plan)


def _package(found: Mapping[str, Any]) -> Package:
    source, asked = str(found.get("source") or ""), found.get("requestedVersion")
    return Package(str(found["resolvedVersion"]), f"{source}: {asked}" if asked else source)
