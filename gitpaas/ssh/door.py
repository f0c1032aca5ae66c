"""Who comes in: public keys of the database and nothing else, under any user name. paramiko asks, this answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from paramiko.auth_handler import AuthHandler
from paramiko.channel import Channel
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.pkey import PKey
from paramiko.server import ServerInterface

from gitpaas.ssh.keys import PublicKey, weakness
from gitpaas.ssh.services import Services

if TYPE_CHECKING:
    from gitpaas.ssh.connection import Connection


class Door(ServerInterface):
    """Runs on the connection's own thread."""

    def __init__(self, connection: Connection, services: Services) -> None:
        self._connection = connection
        self._keyring = services.keyring
        self._strangers = services.strangers
        self.refused: list[str] = []  # fingerprints
        self.is_open = False

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: PKey) -> int:
        offered = PublicKey(key.get_name(), key.asbytes())
        if _is_plain(key) and not weakness(offered) and self._keyring.find(offered):
            self._connection.key = offered  # paramiko checks the signature next; without it nobody is in
            return AUTH_SUCCESSFUL
        self.refused.append(offered.fingerprint)
        if text := self._strangers.refusal(offered):
            self._connection.show_banner(text)
        return AUTH_FAILED

    def has_let_in(self) -> None:
        self.is_open = True
        self._strangers.came_along(self.refused)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind == "session" and self._connection.has_room():
            return OPEN_SUCCEEDED
        return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_env_request(self, channel: Channel, name: bytes, value: bytes) -> bool:
        session = self._connection.session(channel)
        return session is not None and session.set_variable(name, value)

    def check_channel_pty_request(self, channel: Channel, term: bytes, width: int, height: int, *rest: object) -> bool:
        session = self._connection.session(channel)
        return session is not None and session.set_terminal(term, width, height)

    def check_channel_window_change_request(self, channel: Channel, width: int, height: int, *rest: object) -> bool:
        session = self._connection.session(channel)
        return session is not None and session.resize(width, height)

    def check_channel_shell_request(self, channel: Channel) -> bool:
        session = self._connection.session(channel)
        return session is not None and session.set_command(b"")

    def check_channel_exec_request(self, channel: Channel, command: bytes) -> bool:
        session = self._connection.session(channel)
        return session is not None and session.set_command(command)


class Authentication(AuthHandler):
    """paramiko hangs up on a key of a type it does not know; the client's next key must get its turn."""

    def _generate_key_from_request(self, algorithm: str, blob: bytes) -> Any:
        if algorithm not in self.transport.preferred_pubkeys:
            return _UnknownKind(algorithm, blob)
        return cast(Any, super())._generate_key_from_request(algorithm, blob)


class _UnknownKind:
    """Enough of a key to be refused by name."""

    public_blob = None

    def __init__(self, name: str, blob: bytes) -> None:
        self._name = name
        self._blob = blob

    def get_name(self) -> str:
        return self._name

    def asbytes(self) -> bytes:
        return self._blob


def _is_plain(key: PKey) -> bool:
    """A certificate says more than its key (until when, from where); that is not looked at here, so none is taken."""
    return key.public_blob is None
