"""Texts at rest: encrypted with a key file of mode 0600 beside the database."""

from __future__ import annotations

import base64
import hmac
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitpaas.errors import BadConfig

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class Seal:
    """Encrypts and decrypts short texts (Fernet: AES-128-CBC with HMAC-SHA256).

    The file has a key a line. The first one encrypts; the others, there while keys are changed (rekey.py), decrypt too.
    Whoever stores what close() gives calls it within the transaction that stores it: then a change of keys, which is a
    transaction too, comes before the file is read here or after the row is written."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file
        self._known: tuple[bytes, MultiFernet] | None = None  # what the file said, and what that makes

    def close(self, text: str) -> str:
        return self._engine().encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        """BadConfig when none of today's keys has closed it."""
        opened = self._open(token)
        if opened is None:
            raise BadConfig(
                f"{self._key_file} is not the key that these config vars were encrypted with",
                "Put back the secret.key that belongs to this database.",
            )
        return opened

    def digest(self, text: str) -> str:
        """What stands for `text` where it must not be read, nor guessed by trying: HMAC-SHA256 in hex.

        The same text has the same digest as long as the key is the same."""
        own = hmac.digest(self._read_or_make().split()[0], b"gitpaas digest", "sha256")
        return hmac.digest(own, text.encode(), "sha256").hex()

    def add_key(self) -> None:
        """A new key, which encrypts from now on. What the others have closed still opens."""
        keys = self._read_or_make().split()
        for forgotten in self._key_file.resolve().parent.glob(f"{self._draft_prefix}*"):  # by one who was killed
            forgotten.unlink(missing_ok=True)
        self._write([_new_key(), *keys])

    def drop_old_keys(self) -> None:
        """Only the newest key is left: what others have closed opens no more."""
        self._write(self._read_or_make().split()[:1])

    @property
    def has_old_keys(self) -> bool:
        """Whether a change of keys has begun and not ended."""
        return self._key_file.exists() and len(self._key_file.read_bytes().split()) > 1

    def _open(self, token: str) -> str | None:
        from cryptography.fernet import InvalidToken

        if self._known is not None:  # as long as it will do, the file is not read
            with suppress(InvalidToken):
                return self._known[1].decrypt(token.encode()).decode()
        try:
            return self._engine().decrypt(token.encode()).decode()
        except InvalidToken:
            return None

    def _engine(self) -> MultiFernet:
        """Of the keys that the file has now: another process may have changed them."""
        keys = self._read_or_make()
        known = self._known
        if known is None or known[0] != keys:
            # Late: 20 ms and 3 MB that most commands never need.
            from cryptography.fernet import Fernet, MultiFernet

            try:
                known = self._known = keys, MultiFernet([Fernet(key) for key in keys.split()])
            except ValueError as error:
                raise BadConfig(f"{self._key_file} holds no key.", "Put back a backup of it.") from error
        return known[1]

    def _read_or_make(self) -> bytes:
        """The file is there whole or not at all, for whoever looks and whoever is killed."""
        if not self._key_file.exists():
            draft = self._draft([_new_key()])
            try:
                # Another process was first, and has perhaps swept our draft away already; its key counts.
                with suppress(FileExistsError, FileNotFoundError):
                    self._key_file.hardlink_to(draft)
            finally:
                draft.unlink(missing_ok=True)
        return self._key_file.read_bytes()

    def _write(self, keys: list[bytes]) -> None:
        """In place of what was there, and on the disk when this returns."""
        target = self._key_file.resolve()
        draft, before = self._draft(keys), target.stat()
        try:
            if os.geteuid() == 0:  # the operator's shell may be root's, and the server another user's
                os.chown(draft, before.st_uid, before.st_gid)
            draft.rename(target)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @property
    def _draft_prefix(self) -> str:
        return f".{self._key_file.name}.draft-"

    def _draft(self, keys: list[bytes]) -> Path:
        folder = self._key_file.resolve().parent
        fd, draft = tempfile.mkstemp(prefix=self._draft_prefix, dir=folder)
        with os.fdopen(fd, "wb") as file:
            file.write(b"\n".join(keys))
            file.flush()
            os.fsync(fd)
        return Path(draft)


def _new_key() -> bytes:
    return base64.urlsafe_b64encode(os.urandom(32))  # as Fernet.generate_key(), without loading it
