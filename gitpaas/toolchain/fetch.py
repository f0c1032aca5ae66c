"""Bring one file from the network: https only, of known digest, bounded in size and time."""

from __future__ import annotations

import base64
import hashlib
import http.client
import ssl
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

from gitpaas.errors import ToolFailed

_MOST = 512 * 1024 * 1024  # bytes of one archive
_SILENCE = 20.0  # seconds without a byte
_LONGEST = 900.0  # seconds for all of it
_PIECE = 256 * 1024


def fetch(url: str, target: Path, digest: str, environ: Mapping[str, str]) -> None:
    """Write what is at `url` to the new file `target`. ToolFailed, and no file, when that is not what was promised.

    Proxies and certificate authorities are those that `environ` names.
    """
    algorithm, wanted = parse_digest(digest)
    found = hashlib.new(algorithm)
    host = urlsplit(url).hostname or url
    try:
        with _opener(host, environ).open(_request(url), timeout=_SILENCE) as answer, target.open("xb") as file:
            _copy(cast(HTTPResponse, answer), file, found)
    except (OSError, http.client.HTTPException, ValueError) as error:
        target.unlink(missing_ok=True)
        raise ToolFailed(f"{url} cannot be fetched: {_reason(error)}") from error
    if found.digest() != wanted:
        target.unlink()
        raise ToolFailed(f"{url} is not what it should be: its {algorithm} is {found.hexdigest()}, not {wanted.hex()}")


def parse_digest(text: str) -> tuple[str, bytes]:
    """ "sha256:HEX", or "sha512-BASE64" as npm writes it."""
    if ":" in text:
        algorithm, _, value = text.partition(":")
        return algorithm, bytes.fromhex(value)
    algorithm, _, value = text.partition("-")
    return algorithm, base64.b64decode(value, validate=True)


def _request(url: str) -> urllib.request.Request:
    if not url.startswith("https://"):
        raise ValueError("only https will do")
    return urllib.request.Request(url, headers={"User-Agent": "gitpaas"})  # noqa: S310 (https: asked just above)


def _opener(host: str, environ: Mapping[str, str]) -> urllib.request.OpenerDirector:
    trust = ssl.create_default_context(cafile=environ.get("SSL_CERT_FILE"), capath=environ.get("SSL_CERT_DIR"))
    return urllib.request.build_opener(
        urllib.request.ProxyHandler(_proxies(host, environ)), urllib.request.HTTPSHandler(context=trust), _Redirects()
    )


def _proxies(host: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The small name wins, as curl has it."""
    excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    proxy = environ.get("https_proxy") or environ.get("HTTPS_PROXY")
    if not proxy or urllib.request.proxy_bypass_environment(host, {"no": excepted}):  # type: ignore[attr-defined]
        return {}
    return {"https": proxy}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Release archives lie behind redirects; none of them may lead out of https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise ValueError(f"it leads to {newurl}, and only https will do")
        return super().redirect_request(req, fp, code, msg, cast(http.client.HTTPMessage, headers), newurl)


def _copy(answer: HTTPResponse, file: IO[bytes], found: hashlib._Hash) -> None:
    promised = int(answer.headers.get("Content-Length") or 0)
    deadline = time.monotonic() + _LONGEST
    received = 0
    while piece := answer.read(_PIECE):
        received += len(piece)
        if received > _MOST:
            raise ValueError(f"it is larger than {_MOST // 1024**2} MB")
        if time.monotonic() > deadline:
            raise ValueError(f"it took longer than {_LONGEST:g} seconds")
        found.update(piece)
        file.write(piece)
    if promised and received != promised:
        raise ValueError(f"it was cut off after {received} of {promised} bytes")


def _reason(error: Exception) -> str:
    with suppress(AttributeError):
        return str(error.reason)  # type: ignore[attr-defined]  # URLError, and HTTPError with "Not Found"
    return str(error) or type(error).__name__
