"""Kinds of settings: the value that a text stands for, or ValueError in words."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_network
from pathlib import Path

RUNTIMES = ("auto", "host", "docker")


def size(text: str) -> int:
    """Bytes of "512m", "2g", "100k" or a plain number."""
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)i?b?", text.strip().lower())
    if not match:
        raise ValueError(f"{text!r} is not a size such as 512m or 2g")
    unit: int = 1024 ** " kmgt".index(match[2] or " ")
    return int(match[1]) * unit


def truth(text: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    try:
        return words[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def ports(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,5})-(\d{2,5})", text.strip())
    if not match or not 1024 <= int(match[1]) < int(match[2]) <= 65535:
        raise ValueError(f"{text!r} is not a range of ports such as 20000-29999")
    return int(match[1]), int(match[2])


def port(text: str) -> int:
    """0 is none."""
    if not re.fullmatch(r"\d{1,5}", text.strip()) or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port such as 443; 0 is none")
    return int(text)


def secure_url(text: str) -> str:
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?", text):
        raise ValueError(f"{text!r} is not a URL such as https://acme.example.com/directory")
    return text


def email(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
        raise ValueError(f"{text!r} is not an address such as you@example.com")
    return text


def certificate(text: str) -> str:
    """The path of a file with a certificate, or nothing. Caddy would not start for want of it."""
    if not text:
        return text
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError(f"{text!r} is not a whole path, from the / on")
    if odd := re.search(r"[\"`\\{}\n]", text):
        raise ValueError(f"{text!r} has {odd[0]!r} in it, which means something to Caddy")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    import ssl  # late: hardly anybody has one

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # SSLError is one
        raise ValueError(f"{path} has no certificate that can be read: one in PEM is wanted") from error
    return str(path)


def names(text: str) -> tuple[str, ...]:
    return tuple(name for name in re.split(r"[,\s]+", text) if name)


def domain(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", text):
        raise ValueError(f"{text!r} is not a domain name in small letters")
    return text


def runtime(text: str) -> str:
    if text not in RUNTIMES:
        raise ValueError(f"{text!r} is not a runtime; there are: {', '.join(RUNTIMES)}")
    return text


def cpus(text: str) -> float | None:
    """2 of "2", 0.5 of "0.5"; None of an empty text."""
    if not text.strip():
        return None
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text.strip()) or not float(text):
        raise ValueError(f"{text!r} is not a number of CPUs such as 2 or 0.5")
    return float(text)


def network(text: str) -> IPv4Network:
    network = IPv4Network(text.strip())
    if not 8 <= network.prefixlen <= 24 or not network.is_private:
        raise ValueError(f"{text!r} is not a private network of /8 to /24 such as 10.213.0.0/16")
    return network


def networks(text: str) -> tuple[str, ...]:
    """("192.0.2.7/32", "2001:db8::/32") of addresses and networks."""
    return tuple(str(ip_network(word, strict=False)) for word in names(text))


def mirrors(text: str) -> dict[str, str]:
    mirrors = {}
    for word in names(text):
        match = re.fullmatch(r"([\w.:-]+)=([\w.:/-]+)", word, re.ASCII)
        if not match:
            raise ValueError(f"{word!r} is not REGISTRY=MIRROR such as docker.io=mirror.example.com")
        mirrors[match[1]] = match[2]
    return mirrors


def surge(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,2}%?", text.strip()):
        raise ValueError(f"{text!r} is neither a number of instances such as 1 nor a part of them such as 25%")
    return text.strip()


def count(text: str) -> int:
    """A whole number, 0 too."""
    if not re.fullmatch(r"\d{1,10}", text.strip()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)
