"""The marked `Host paas` block of an OpenSSH client's configuration file."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

BEGIN = "# >>> gitpaas >>> (written by scripts/quickstart; --purge removes it)"
END = "# <<< gitpaas <<<"
_BLOCK = re.compile(rf"^{re.escape(BEGIN)}$.*?^{re.escape(END)}$\n*", re.MULTILINE | re.DOTALL)
_OWN_HOST = re.compile(r"^[ \t]*host[ \t=](?:.*[ \t\"])?paas(?:[ \t\"].*)?$", re.MULTILINE | re.IGNORECASE)


class HostTaken(Exception):
    """The file has a `Host paas` that is not ours."""


def block(*, host: str, port: int, user: str, key: Path, known_hosts: Path) -> str:
    """`ssh paas` without a question: our key, our port, the host key pinned, and nothing of a `Host *` further down."""
    options = {
        "HostName": host,
        "Port": str(port),
        "User": user,
        "IdentityFile": _quoted(key),
        "IdentitiesOnly": "yes",
        "HostKeyAlias": "paas",
        "UserKnownHostsFile": _quoted(known_hosts),
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "ProxyCommand": "none",
        "ForwardAgent": "no",
        "ServerAliveInterval": "30",
        "LogLevel": "INFO",  # not ERROR: that would hide the server's word to a key it does not know
    }
    # "Host *" ends our block: what follows it in the file may be options that are meant for every host.
    lines = [BEGIN, "Host paas", *(f"    {name} {value}" for name, value in options.items()), "Host *", END]
    return "\n".join(lines) + "\n"


def put(path: Path, text: str) -> bool:
    """Make `text` the file's first block. Returns whether anything had to change; HostTaken when it is not ours."""
    before = path.read_text() if path.exists() else ""
    rest = _BLOCK.sub("", before)
    if _OWN_HOST.search(rest):
        raise HostTaken(str(path))
    if _is_in_place(before, text) and path.stat().st_mode & 0o777 == 0o600:
        return False
    # First, because OpenSSH takes the first value it meets and a `Host *` above would win.
    _write(path, f"{text}\n{rest}" if rest else text)
    return True


def remove(path: Path, known_hosts: Path) -> bool:
    """Take our block out again, and the file when nothing else is in it. Returns whether there was one. That of another
    state directory, which has known hosts of its own, stays."""
    if not has(path, known_hosts):
        return False
    after = _BLOCK.sub("", path.read_text())
    if after or path.is_symlink():
        _write(path, after)
    else:
        path.unlink()
    return True


def has(path: Path, known_hosts: Path) -> bool:
    """Whether our block is in it, and of the state directory that has these known hosts."""
    text = path.read_text() if path.exists() else ""
    return _BLOCK.search(text) is not None and _quoted(known_hosts) in text


def _is_in_place(before: str, text: str) -> bool:
    above, found, _ = before.partition(text)
    return bool(found) and all(not line.strip() or line.lstrip().startswith("#") for line in above.splitlines())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = path.resolve()  # a link into somebody's dotfiles stays a link
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".gitpaas-")  # made 0600
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).replace(target)


def _quoted(path: Path) -> str:
    # OpenSSH expands % in both of these options.
    return '"{}"'.format(str(path).replace("%", "%%"))
