"""One client, from its first byte to its last: strong algorithms, bounded buffers, a few sessions at a time."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, cast

from paramiko.channel import Channel
from paramiko.common import MSG_CHANNEL_REQUEST, cMSG_DISCONNECT, cMSG_USERAUTH_BANNER
from paramiko.message import Message
from paramiko.ssh_exception import SSHException
from paramiko.transport import Transport

from gitpaas import __version__
from gitpaas.ssh.door import Authentication, Door
from gitpaas.ssh.keys import PublicKey
from gitpaas.ssh.lobby import MOST_OF_ONE
from gitpaas.ssh.services import Services
from gitpaas.ssh.session import Session
from gitpaas.ssh.transport import Packetizer, Pipe
from gitpaas.values import Actor

_log = logging.getLogger(__name__)

_WINDOW = 2 * 1024 * 1024  # bytes a client may send before we have taken them
_PACKET = 32 * 1024
_SESSIONS = 8  # of one connection at the same time
_KEEPALIVE = 30  # seconds of silence until we send something that a gone client cannot acknowledge
_DEAD = 120_000  # milliseconds without an acknowledgement until the kernel gives the connection up
_LAST_WORDS = 5.0  # seconds that a client gets to hear why it must leave
_TOO_MANY = 12  # SSH_DISCONNECT_TOO_MANY_CONNECTIONS (RFC 4253, 11.1)
_GCM = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_CTR = ("aes256-ctr", "aes192-ctr", "aes128-ctr")
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
_KEX = ("mlkem768x25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384")


class Connection(Transport):
    """A paramiko transport in server mode. The overridden names are its hooks; it has no public ones for these."""

    # OpenSSH tells a server that nobody takes its output any more (`| head`) only if that bears its name, and otherwise
    # swallows all that comes, for ever. RFC 4253, 4.2: this string says what an implementation is capable of.
    _CLIENT_ID = f"OpenSSH_compatible_gitpaas_{__version__}"
    _active_check_timeout = 5.0  # how often an idle one wakes up; disconnect() wakes it at once
    _preferred_keys = ("ssh-ed25519",)
    _preferred_macs = _MACS
    _preferred_kex = tuple(name for name in _KEX if name in cast(Any, Transport)._kex_info)

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        services: Services,
        on_login: Callable[[Connection], bool],
        on_end: Callable[[Connection], None],
    ) -> None:
        super().__init__(sock, _WINDOW, _PACKET, packetizer_class=Packetizer)
        self.address = address
        self.key: PublicKey | None = None  # the one that logged in
        self._services = services
        self._on_login = on_login
        self._on_end = on_end
        self._sessions: dict[int, Session] = {}
        self._door = Door(self, services)
        self._dismissed = False
        _tune(sock)

    @property
    def preferred_ciphers(self) -> tuple[str, ...]:
        # The client's order decides, and OpenSSH puts AES-GCM last although it is the quickest here by far.
        return _GCM if self.remote_version.startswith("SSH-2.0-OpenSSH_") else _GCM + _CTR

    def serve(self) -> None:
        """Start the connection's thread and return at once."""
        self.set_keepalive(_KEEPALIVE)
        self.start_server(event=threading.Event(), server=self._door)

    def disconnect(self) -> None:
        """Cut it off, from any thread, without waiting."""
        self.active = False
        # Not close(): the connection's own thread may be about to use the descriptor, by then somebody else's.
        with suppress(OSError):
            cast(socket.socket, self.sock).shutdown(socket.SHUT_RDWR)

    def dismiss(self, reason: str) -> None:
        """Tell the client why and cut it off, whether it takes that or not. From any thread, without waiting."""
        if not self._dismissed:
            self._dismissed = True
            threading.Thread(target=self._say_goodbye, args=(reason,), name="ssh goodbye", daemon=True).start()

    def actors(self) -> list[Actor]:
        """As whom its sessions began."""
        return [session.actor for session in list(self._sessions.values()) if session.actor]

    def run(self) -> None:
        try:
            super().run()
        finally:
            if self._door.refused and not self._door.is_open:
                self._services.journal.stranger(self.address, self._door.refused)
            for session in list(self._sessions.values()):
                session.leave()
            self._on_end(self)
            self._tell_the_log()

    def has_room(self) -> bool:
        return len(self._sessions) < _SESSIONS

    def session(self, channel: Channel) -> Session | None:
        """None once it has ended; the client may not know that yet."""
        return self._sessions.get(channel.chanid)

    def forget(self, session: Session) -> None:
        self._sessions.pop(session.channel.chanid, None)

    def show_banner(self, text: str) -> None:
        """Lines that a client shows while it logs in (RFC 4252, 5.4)."""
        message = Message()
        message.add_byte(cMSG_USERAUTH_BANNER)
        message.add_string(text)
        message.add_string("en")
        cast(Any, self)._send_message(message)

    def _queue_incoming_channel(self, channel: Channel) -> None:
        """A new channel. paramiko would keep it for an accept() that never comes."""
        channel.in_buffer = cast(Any, Pipe(_WINDOW + 2 * _PACKET))
        channel.in_stderr_buffer = cast(Any, Pipe(_PACKET))
        self._sessions[channel.chanid] = Session(channel, self, self._services)

    def _unlink_channel(self, chanid: int) -> None:
        """The client has closed a channel."""
        cast(Any, super())._unlink_channel(chanid)
        if session := self._sessions.get(chanid):
            session.leave()

    def _answer(self, channel: Channel, message: Message) -> None:
        """Answer a request first, then begin: an exit status must never overtake the answer."""
        session = self.session(channel)
        if session is not None and (name := _signal_in(message)):
            session.signal(name)
            return
        if session is not None and _is_end_of_reading(message):
            session.stop_reading()
            return
        cast(Any, channel)._handle_request(message)
        if session is not None:
            session.begin()

    _channel_handler_table: ClassVar = {
        **cast(Any, Transport)._channel_handler_table,
        MSG_CHANNEL_REQUEST: lambda channel, message: channel.transport._answer(channel, message),
    }

    def _parse_newkeys(self, message: Message) -> None:
        if self.auth_handler is None:
            self.auth_handler = Authentication(self)
        cast(Any, super())._parse_newkeys(message)

    def _auth_trigger(self) -> None:
        cast(Any, super())._auth_trigger()
        cast(Packetizer, self.packetizer).logged_in = True
        self._door.has_let_in()
        if not self._on_login(self):
            self._turn_away(f"Your key has {MOST_OF_ONE} connections open here already. Close some of them.")

    def _turn_away(self, reason: str) -> None:
        message = Message()
        message.add_byte(cMSG_DISCONNECT)
        message.add_int(_TOO_MANY)
        message.add_string(reason)
        message.add_string("en")
        cast(Any, self)._send_message(message)
        self.disconnect()

    def _say_goodbye(self, reason: str) -> None:
        late = threading.Timer(_LAST_WORDS, self.disconnect)
        late.daemon = True
        late.start()
        for session in list(self._sessions.values()):
            session.dismiss(reason)
        self.disconnect()
        late.cancel()

    def _tell_the_log(self) -> None:
        error = self.saved_exception
        if isinstance(error, SSHException):
            _log.info("%s: %s", self.address, error)
        elif error is not None and not isinstance(error, EOFError | OSError):
            _log.error("%s: the connection failed", self.address, exc_info=error)


def _signal_in(message: Message) -> str | None:
    """What a `signal` request names, which paramiko knows nothing of; anything else is left as it is."""
    begin = message.packet.tell()
    if message.get_binary() == b"signal":
        message.get_boolean()
        return message.get_binary().decode("ascii", "ignore")
    message.packet.seek(begin)
    return None


def _is_end_of_reading(message: Message) -> bool:
    """Whether OpenSSH says that nobody takes what we send (its PROTOCOL, 2.1). The message is left as it is."""
    begin = message.packet.tell()
    name = message.get_binary()
    message.packet.seek(begin)
    return bool(name == b"eow@openssh.com")


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with suppress(OSError, AttributeError):  # Linux only
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD)
