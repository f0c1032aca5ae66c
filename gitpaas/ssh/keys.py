"""Public keys: what a line of one means, which are strong enough, and whose they are."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from dataclasses import dataclass

from gitpaas.access import people
from gitpaas.errors import UsageError
from gitpaas.store import Key, Store
from gitpaas.values import Actor

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_SMALLEST_RSA = 2048
_MINUTE = 60.0


@dataclass(frozen=True)
class PublicKey:
    kind: str
    blob: bytes  # the wire format of RFC 4253, 6.6

    @property
    def line(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """SHA256:..., as `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def parse(text: str) -> PublicKey:
    """The key of a public key file's line ("ssh-ed25519 AAAA... comment"). UsageError when it is none, or weak."""
    words = text.split()
    if len(words) < 2 or "PRIVATE" in words:
        raise UsageError(
            "That is not a public key.", "It is one line like `ssh-ed25519 AAAA... you@laptop`: a .pub file."
        )
    try:
        key = PublicKey(words[0], base64.b64decode(words[1], validate=True))
        fields = _fields(key.blob)
    except (binascii.Error, ValueError) as error:
        raise UsageError("That public key is damaged.", "Copy the whole line of the .pub file.") from error
    if fields[0] != key.kind.encode():
        raise UsageError("That public key is damaged: its type is not the one it begins with.")
    if problem := weakness(key):
        raise UsageError(problem, "Make a strong one: ssh-keygen -t ed25519")
    return key


def weakness(key: PublicKey) -> str | None:
    """Why a key is not good enough to log in with, or None when it is."""
    if key.kind not in _KINDS:
        return f"Keys of type {key.kind[:60]!r} are not accepted here."
    if key.kind == "ssh-rsa" and (bits := _rsa_bits(key.blob)) < _SMALLEST_RSA:
        return f"That RSA key has only {bits} bits; at least {_SMALLEST_RSA} are needed."
    return None


class Keyring:
    """The keys of the database. Asked at each login and each session, so a removed key is out at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, key: PublicKey) -> Key | None:
        """The row of this very key, or None."""
        with self._store.session():
            row: Key | None = Key.get_or_none(Key.fingerprint == key.fingerprint)
        return row if row is not None and row.line.split()[:2] == key.line.split() else None

    def actor(self, key: PublicKey, address: str) -> Actor | None:
        """Who comes with it and what they may do, noted as its last use; None when it is not here (any more)."""
        with self._store.session():
            row = self.find(key)
            if row is None:
                return None
            _note_use(row, address)
            return people.actor(row, address)


def _note_use(row: Key, address: str) -> None:
    """To the minute: a burst of logins is one write."""
    now = time.time()
    if row.used_at is None or now - row.used_at > _MINUTE or row.used_from != address:
        Key.update(used_at=now, used_from=address).where(Key.id == row.id).execute()


def _rsa_bits(blob: bytes) -> int:
    modulus = _fields(blob)[2]
    return int.from_bytes(modulus, "big").bit_length()


def _fields(blob: bytes) -> list[bytes]:
    """The length-prefixed strings of a key. ValueError when they do not fill it exactly."""
    fields, rest = [], blob
    while rest:
        size = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + size:
            raise ValueError("cut short")
        fields.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    if len(fields) < 2 or (fields[0] == b"ssh-rsa" and len(fields) != 3):
        raise ValueError("too few fields")
    return fields
