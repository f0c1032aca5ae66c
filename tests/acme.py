"""A real ACME server, which is another Caddy, and the DNS that it asks. Both for use in a network of a test's own."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from instances import until

from gitpaas.router.command import find_binary

_CADDYFILE = """\
{
	admin off
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	http_port 9080
	https_port 9443
	storage file_system ca
	pki {
		ca local {
			name "Tests"
		}
	}
}
https://127.0.0.1:9443 {
	log {
		output file requests.log
	}
	tls internal
	acme_server {
		challenges CHALLENGES
		lifetime 3d
		deny {
			domains refused.example.com
		}
	}
}
"""


@dataclass
class Authority:
    """`directory` and `root` are what a client needs. It can be ended, and started again."""

    folder: Path
    challenges: str
    process: subprocess.Popen[bytes] | None = None
    directory = "https://127.0.0.1:9443/acme/local/directory"

    @property
    def root(self) -> Path:
        return self.folder / "ca" / "pki" / "authorities" / "local" / "root.crt"

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "Caddyfile").write_text(_CADDYFILE.replace("CHALLENGES", self.challenges))
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        caddy = [str(find_binary(os.environ["PATH"])), "run", "--config", "Caddyfile"]
        with (self.folder / "output.log").open("ab") as out:
            self.process = subprocess.Popen(
                [
                    "unshare",
                    "--mount",
                    "sh",
                    "-c",
                    'mount --bind resolv.conf /etc/resolv.conf && exec "$@"',
                    "ca",
                    *caddy,
                ],
                cwd=self.folder,
                env={"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        until(self._answers)

    def end(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def orders(self) -> int:
        """How many there were so far, since the first start."""
        try:
            lines = (self.folder / "requests.log").read_text().splitlines()
        except FileNotFoundError:
            return 0
        return sum(json.loads(line)["request"]["uri"].endswith("/new-order") for line in lines)

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.folder / "output.log").read_text()[-3000:]
        try:
            socket.create_connection(("127.0.0.1", 9443), timeout=1).close()
        except OSError:
            return False
        return self.root.exists()


@contextmanager
def authority(folder: Path, challenges: str = "http-01 tls-alpn-01") -> Iterator[Authority]:
    one = Authority(folder, challenges)
    try:
        with _dns():
            one.start()
            yield one
    finally:
        one.end()


@contextmanager
def _dns() -> Iterator[None]:
    """Says 127.0.0.1 for every name, but no for those that begin with `lost.`"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        server.settimeout(0.1)
        over = threading.Event()
        thread = threading.Thread(target=_answer_questions, args=(server, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _answer_questions(server: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        try:
            question, client = server.recvfrom(4096)
        except TimeoutError:
            continue
        server.sendto(_answer(question), client)


def _answer(question: bytes) -> bytes:
    end = question.index(b"\0", 12) + 5  # the name, its type and class
    is_lost = question[12:].startswith(b"\x04lost")
    is_ipv4 = question[end - 4 : end - 2] == b"\0\1"
    flags = 0x8183 if is_lost else 0x8180
    answer = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 1, 4, bytes((127, 0, 0, 1)))
    has_answer = is_ipv4 and not is_lost
    header = question[:2] + struct.pack("!HHHHH", flags, 1, int(has_answer), 0, 0)
    return header + question[12:end] + (answer if has_answer else b"")
