"""Config values at rest: encrypted with a key file of mode 0600 beside the database."""

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
    from cryptography.fernet import Fernet


class Seal:
    """Encrypts and decrypts short texts (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file
        self._fernet: Fernet | None = None

    def close(self, text: str) -> str:
        return self._engine().encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        from cryptography.fernet import InvalidToken

        try:
            return self._engine().decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise BadConfig(
                f"{self._key_file} is not the key that these config vars were encrypted with",
                "Put back the secret.key that belongs to this database.",
            ) from error

    def digest(self, text: str) -> str:
        """What stands for `text` where it must not be read, nor guessed by trying: HMAC-SHA256 in hex.

        The same text has the same digest as long as the key is the same."""
        own = hmac.digest(self._read_or_make(), b"gitpaas digest", "sha256")
        return hmac.digest(own, text.encode(), "sha256").hex()

    def _engine(self) -> Fernet:
        if self._fernet is None:
            # Late: 20 ms and 3 MB that most commands never need.
            from cryptography.fernet import Fernet

            self._fernet = Fernet(self._read_or_make())
        return self._fernet

    def _read_or_make(self) -> bytes:
        """The key is there whole or not at all, for whoever looks and whoever is killed."""
        if not self._key_file.exists():
            fd, draft = tempfile.mkstemp(prefix=f"{self._key_file.name}.", dir=self._key_file.parent)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(base64.urlsafe_b64encode(os.urandom(32)))  # what Fernet.generate_key() does
                    file.flush()
                    os.fsync(fd)
                with suppress(FileExistsError):  # another process was first; its key counts
                    self._key_file.hardlink_to(draft)
            finally:
                Path(draft).unlink()
        return self._key_file.read_bytes()
