"""The server's own key: ed25519, made once at init, so that clients know this server again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gitpaas.errors import BadConfig
from gitpaas.ssh import keys


@dataclass(frozen=True)
class HostKey:
    path: Path
    line: str  # "ssh-ed25519 AAAA...": what follows the host's name in known_hosts
    fingerprint: str  # SHA256:..., as ssh shows it at the first connection


def ensure(path: Path) -> HostKey:
    """Load the key, made first (mode 0600) when it is not there. BadConfig when the file holds something else."""
    if not path.exists():
        _make(path)
    path.chmod(0o600)
    try:
        private = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise _unusable(path) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _unusable(path)
    line = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return HostKey(path, line.decode(), keys.parse(line.decode()).fingerprint)


def _make(path: Path) -> None:
    """Written whole under another name first; of two processes that make it at the same time one wins."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    data = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    try:
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()


def _unusable(path: Path) -> BadConfig:
    return BadConfig(
        f"{path} is not an ed25519 private key without a passphrase",
        "Put the old one back, or move it away: a new one is made, and clients are warned that it changed.",
    )
