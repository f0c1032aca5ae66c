"""Domain names as people give them: RFC 1123 host names, other scripts by IDNA 2008, and wildcards one label deep."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address

from gitpaas.errors import UsageError

_LONGEST, _LONGEST_LABEL = 253, 63
_WILD = "*."
_EXAMPLE = "For example: www.example.com, or *.example.com for every name beneath."
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # what ends like this is read as an address by browsers and resolvers


def parsed(text: str) -> str:
    """`www.example.com` or `*.example.com` as the DNS has it: in ASCII and small letters, without the last dot.

    UsageError says what is wrong with it, and what to type instead."""
    _require_name_alone(text)
    star, name = (_WILD, text.removeprefix(_WILD)) if text.startswith(_WILD) else ("", text)
    _require_letters(text, name)
    name = (_in_ascii(text, name) if not name.isascii() or "xn--" in name.lower() else name.lower()).removesuffix(".")
    _require_labels(text, name.split("."))
    if len(star + name) > _LONGEST:
        raise _wrong(text, f"has {len(star + name)} characters; a domain has at most {_LONGEST}.")
    if star and "." not in name:
        raise _wrong(text, f"would be every name that ends in {name}.")
    return star + name


def in_unicode(name: str) -> str:
    """The name as it is read, the same when it is ASCII anyway."""
    import idna

    with suppress(idna.IDNAError):
        return name if "xn--" not in name else name[: -len(plain(name))] + idna.decode(plain(name))
    return name


def shown(name: str) -> str:
    """Both forms, where they differ: no letter passes for another one."""
    readable = in_unicode(name)
    return name if readable == name else f"{name} ({readable})"


def plain(name: str) -> str:
    """Without the star of a wildcard."""
    return name.removeprefix(_WILD)


def wildcard_over(name: str) -> str:
    """The wildcard that stands for this name where nothing nearer does; it need not be one that can be had."""
    return _WILD + name.partition(".")[2]


def _require_name_alone(text: str) -> None:
    alone = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://", "", text)
    alone = re.split(r"[/?#\\]", alone, maxsplit=1)[0].rpartition("@")[2]
    alone = re.sub(r":[0-9]*$", "", alone)
    if _is_address(text) or _is_address(alone):
        raise _wrong(
            text, "is an address, not a name. A request says the name that it is for, and by that it is routed."
        )
    if alone == text:
        return
    what = "is a URL" if "://" in text else "has more in it than a name: a port, a path or a user"
    hint = _EXAMPLE
    with suppress(UsageError):
        hint = f"Give the name alone: {parsed(alone)}"
    raise UsageError(f"{text[:80]!r} {what}.", hint)


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(text.strip("[]")))
    return False


def _require_letters(text: str, name: str) -> None:
    if not name:
        raise _wrong(text, "is no name.")
    if "*" in name:
        raise _wrong(text, "is no name: a * stands for one whole label, the first.")
    odd = next((letter for letter in name if letter.isascii() and not re.match(r"[A-Za-z0-9.-]", letter)), None)
    if odd:
        raise _wrong(text, f"is no name: {odd!r} is in none. Letters, digits, dashes and dots are.")


def _in_ascii(text: str, name: str) -> str:
    import idna

    try:
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError as error:
        raise _wrong(text, f"is no name by the rules of IDNA 2008: {error}.") from error


def _require_labels(text: str, labels: list[str]) -> None:
    """Labels are what is between the dots."""
    if "" in labels:
        raise _wrong(text, "is no name: it begins with a dot, or has two side by side.")
    if long := next((label for label in labels if len(label) > _LONGEST_LABEL), None):
        raise _wrong(text, f"is no name: between two dots are at most {_LONGEST_LABEL} characters, not {len(long)}.")
    if any(label[0] == "-" or label[-1] == "-" for label in labels):
        raise _wrong(text, "is no name: no part of one begins or ends with a dash.")
    if _NUMBER.fullmatch(labels[-1]):
        raise _wrong(text, "is no name: it ends in a number, as addresses do.")


def _wrong(text: str, what: str) -> UsageError:
    return UsageError(f"{text[:80]!r} {what}", _EXAMPLE)
