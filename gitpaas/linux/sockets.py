"""What the kernel tells of sockets and processes in /proc (proc(5)). Linux only: elsewhere each answer is "nothing"."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

_ESTABLISHED, _LISTEN = "01", "0A"


class Socket(NamedTuple):
    local: str  # "127.0.0.1:20017", "[::1]:20017"
    remote: str
    uid: int
    inode: str


class Holder(NamedTuple):
    """A process that listens."""

    pid: int
    name: str


def connections(address: str) -> int:
    """Established connections to `host:port`, each counted once although loopback shows both of its ends."""
    ends = (frozenset(s[:2]) for s in _sockets(_port(address), _ESTABLISHED) if address in s[:2])
    return len(set(ends))


def listener(port: int) -> Holder | None:
    """Who listens on a port; None when nobody does, or it is another user's process that we may not look into."""
    inodes = {f"socket:[{s.inode}]" for s in _sockets(port, _LISTEN)}
    return next((Holder(pid, _name(pid)) for pid in _pids() if inodes & open_files(pid)), None) if inodes else None


def listening_users(port: int) -> set[int]:
    """The user ids of those who listen on a port, at any address of this machine."""
    return {socket.uid for socket in _sockets(port, _LISTEN)}


def listening_by(pids: Iterable[int]) -> set[str]:
    """The addresses at which these processes listen, as far as we may look into them."""
    files = set().union(*map(open_files, pids))
    return {s.local for s in _sockets(None, _LISTEN) if f"socket:[{s.inode}]" in files} if files else set()


def listening(tables: str) -> set[str]:
    """The addresses ("0.0.0.0:8000", "[::1]:9000") in what /proc/net/tcp and tcp6 of any network namespace say."""
    words = (line.split() for line in tables.splitlines())
    return {_address(w[1]) for w in words if len(w) > 9 and w[3] == _LISTEN}


def open_files(pid: int) -> set[str]:
    """Paths (and "socket:[inode]") a process has open; none when it ended or is not ours to look into."""
    found = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found.add(str(entry.readlink()))
    return found


def executable(pid: int) -> str | None:
    """The program's path, with " (deleted)" after it when it was replaced on the disk."""
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return None


def _sockets(port: int | None, state: str) -> Iterator[Socket]:
    """Of one port, or of all."""
    needle = "" if port is None else f":{port:04X} "
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        # `sl local remote state queues timer retransmits uid timeout inode ...`; few lines are worth splitting
        for words in (line.split() for line in lines if needle in line):
            if words[3] == state:
                yield Socket(_address(words[1]), _address(words[2]), int(words[7]), words[9])


def _address(text: str) -> str:
    """The kernel prints an address as 32-bit words in the machine's own byte order."""
    digits, port = text.split(":")
    words = (bytes.fromhex(digits[i : i + 8]) for i in range(0, len(digits), 8))
    address = ip_address(b"".join(word[::-1] if sys.byteorder == "little" else word for word in words))
    address = getattr(address, "ipv4_mapped", None) or address
    return f"[{address}]:{int(port, 16)}" if address.version == 6 else f"{address}:{int(port, 16)}"


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _pids() -> list[int]:
    proc = Path("/proc")
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()] if proc.is_dir() else []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"
