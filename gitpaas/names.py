"""Names and values that people and clients give: what each may look like, checked once, at the door."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gitpaas.errors import UsageError

# A DNS label (RFC 1123), because an app's name becomes a host name.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_LONGEST_VALUE = 100_000  # bytes; Linux takes 128 KiB for one variable with its name (MAX_ARG_STRLEN)
_PROCESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

# What instances and the release phase get from the platform, whatever config vars say.
PROVIDED: Mapping[str, str] = {
    "PORT": "where `web` must listen; no other process type has it",
    "GITPAAS_APP": "the app's name",
    "GITPAAS_URL": "where the app answers",
    "GITPAAS_RELEASE": "`v12`",
    "GITPAAS_COMMIT": "the whole id of the commit that the release was made of",
    "GITPAAS_PROCESS": "`web.1`, `worker.2`; `release.1` in the release phase",
    "GITPAAS_INSTANCE": "the id of this one instance",
    "GITPAAS_CRON": "the name of the entry that runs; in cron only",
}
_RESERVED = "GITPAAS_"  # the platform's, those that there are and those to come


def is_app_name(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


def app_name(text: str) -> str:
    """A valid app name, or UsageError that says what one looks like."""
    if not is_app_name(text):
        raise UsageError(
            f"{text[:80]!r} is not an app name",
            "Use 1 to 63 small letters, digits and dashes, starting and ending with a letter or digit.",
        )
    return text


def variable_name(text: str) -> str:
    """A valid config var name (a POSIX environment name), or UsageError."""
    if not is_variable_name(text):
        raise UsageError(
            f"{text[:80]!r} is not a config var name",
            "Use letters, digits and underscores, not a digit first.",
        )
    return text


def is_variable_name(text: str) -> bool:
    """Whether an environment can hold a variable of that name."""
    return _VARIABLE.fullmatch(text) is not None


def is_provided(name: str) -> bool:
    """Whether a variable is the platform's to set."""
    return name in PROVIDED or name.startswith(_RESERVED)


def settable_name(text: str) -> str:
    """A valid name of a config var that people may set, or UsageError. Those of older servers may be others."""
    if not is_provided(variable_name(text)):
        return text
    if text == "PORT":
        raise UsageError(
            "PORT is no config var: each web instance is given one of its own.",
            "An image that listens elsewhere whatever PORT says: ssh paas ps:set APP port=3000",
        )
    raise UsageError(
        f"{text[:80]} cannot be set: names that begin with {_RESERVED} are the platform's.",
        f"It provides: {', '.join(PROVIDED)}",
    )


def variable_value(text: str) -> str:
    """A config var's value that can be in an environment, or UsageError. Its length is the kernel's limit on one."""
    if "\0" in text or re.search("[\ud800-\udfff]", text):
        raise UsageError(
            "A config var's value is text without NUL bytes.", "Encode binary values, for example with base64."
        )
    if len(text.encode()) > _LONGEST_VALUE:
        raise UsageError(f"A config var's value has at most {_LONGEST_VALUE} bytes.", "Keep larger values in a file.")
    return text


def process_name(text: str) -> str:
    """A valid process type (`web`, `worker`), or UsageError."""
    if not _PROCESS.fullmatch(text):
        raise UsageError(f"{text[:80]!r} is not a process type", "Use letters, digits, dashes and underscores.")
    return text


def instance_name(text: str) -> tuple[str, int | None]:
    """("web", 2) of "web.2", ("web", None) of "web", or UsageError."""
    process, dot, number = text.partition(".")
    process_name(process)
    if dot and not re.fullmatch(r"[1-9]\d{0,3}", number, re.ASCII):
        raise UsageError(f"{text[:80]!r} is neither a process type nor an instance.", "For example: web, or web.2")
    return process, int(number) if dot else None


def object_id(text: str) -> str:
    """A full git object id, SHA-1 or SHA-256, or UsageError."""
    if not _OBJECT_ID.fullmatch(text):
        raise UsageError(f"{text[:80]!r} is not a git object id")
    return text
