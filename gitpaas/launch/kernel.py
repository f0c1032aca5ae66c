"""System calls that Python does not have. All raise OSError with what was tried."""

from __future__ import annotations

import ctypes
import os

# mount(2), umount2(2)
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
# unshare(2), prctl(2), capabilities(7), keyctl(2)
_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CAPBSET_DROP, _SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_JOIN_SESSION_KEYRING = 1
_KEYCTL = {"x86_64": 250, "aarch64": 219}

_libc = ctypes.CDLL(None, use_errno=True)


def unshare() -> None:
    """Mounts, System V IPC and host name of our own."""
    _call(_libc.unshare, _NEWNS | _NEWIPC | _NEWUTS, about="namespaces")


def join(namespaces: int) -> None:
    """Those that this file descriptor is of."""
    _call(_libc.setns, namespaces, 0, about="namespaces")


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    about = f"{kind or 'mount'} {source or ''} {target}"
    _call(_libc.mount, *words, ctypes.c_ulong(flags), options.encode() or None, about=about)


def unmount(path: str) -> None:
    _call(_libc.umount2, os.fsencode(path), _DETACH, about=f"unmount {path}")


def pivot_root(new: str, old: str) -> None:
    _call(_libc.pivot_root, os.fsencode(new), os.fsencode(old), about="pivot_root")


def leave_session_keyring() -> None:
    if number := _KEYCTL.get(os.uname().machine):
        _libc.syscall(number, _JOIN_SESSION_KEYRING, None)


def forbid_capabilities() -> None:
    """Nothing that is executed from here on can have one."""
    for capability in range(64):
        if _prctl(_CAPBSET_DROP, capability) < 0:  # past the last one that this kernel knows
            break


def clear_capabilities() -> None:
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    _call(_libc.capset, header, nothing, about="capset")


def forbid_new_privileges() -> None:
    if _prctl(_SET_NO_NEW_PRIVS, 1) < 0:
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")


def default_signals() -> None:
    """An ignored signal stays ignored through exec, and the signal module costs 3 ms."""
    for number in range(1, 32):
        _libc.signal(number, None)


def _call(function: ctypes._NamedFuncPointer, *arguments: object, about: str = "") -> int:
    result: int = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about or getattr(function, "__name__", ""))
    return result


def _prctl(option: int, argument: int) -> int:
    result: int = _libc.prctl(option, *(ctypes.c_ulong(word) for word in (argument, 0, 0, 0)))
    return result
