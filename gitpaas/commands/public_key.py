"""Which public key a user means: the one in a file or pasted, with words for everything else people try."""

from __future__ import annotations

from gitpaas.errors import UsageError
from gitpaas.ssh.keys import PublicKey, parse

__all__ = ["PublicKey", "one_key"]

_MOST = 64 * 1024  # characters of a file that may be looked at
_KINDS = ("ssh-", "ecdsa-", "sk-")


def one_key(text: str) -> PublicKey:
    """The one public key in `text`. UsageError says what is there instead, and how to come by the right thing."""
    if "PRIVATE KEY-----" in text or text.startswith("PuTTY-User-Key-File"):
        raise UsageError(
            "That is a private key. It must never leave your machine.", "Its public half is in the .pub file beside it."
        )
    if text.startswith("---- BEGIN SSH2 PUBLIC KEY"):
        raise UsageError("That key is in PuTTY's format.", "Convert it: ssh-keygen -i -f FILE")
    lines = [line.strip() for line in text[:_MOST].splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise UsageError("There is no key in it: it is empty.", "A public key is one line: ssh-ed25519 AAAA... name")
    if len(lines) > 1:
        raise UsageError(
            f"There are {len(lines)} lines in it, not one key.", "Add them one by one, each with its name."
        )
    key = parse(_without_options(lines[0]))
    _check_numbers(key)
    return key


def _without_options(line: str) -> str:
    first = line.split()[0]
    if not first.startswith(_KINDS) and any(f" {kind}" in line for kind in _KINDS):
        raise UsageError(
            "There are options before the key, as in authorized_keys.", "Leave them away; use --role to limit a key."
        )
    if first.startswith("sk-"):
        raise UsageError("Keys on security tokens (sk-...) cannot log in here yet.", "Make one: ssh-keygen -t ed25519")
    return line


def _check_numbers(key: PublicKey) -> None:
    """The first key locks everybody else out, so it had better work: sizes and points on curves."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        load_ssh_public_key(key.line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("That public key is damaged.", "Copy the whole line of the .pub file.") from error
