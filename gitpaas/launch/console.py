"""A terminal for the program. Loaded before the sandbox is made, from which these modules cannot be reached."""

from __future__ import annotations

import _socket
import array
import fcntl
import os
import struct
import sys
import termios

_IUTF8 = 0o40000 if sys.platform == "linux" else 0  # so that erasing takes a whole character; Python has no name for it


def open_for(starter: int, columns: int, rows: int) -> None:
    """Make it where the program will be, so that it has a name there, and hand its other end to the starter."""
    master, slave = os.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[0] |= _IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    _hand_over(master, starter)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)


def _hand_over(fd: int, starter: int) -> None:
    channel = _socket.socket(fileno=os.dup(starter))
    channel.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [fd]).tobytes())])
    channel.close()
    os.close(fd)
