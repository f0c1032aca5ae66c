"""How long the server takes to receive a push: against OpenSSH's sshd with git's own receive-pack, pairs in one run.

    scripts/bench receive [--quick] [--rounds N]

Five sizes, the same repository pushed to each in turn, every time into a fresh empty one, to a branch that is only
stored: no hook runs. Ratios of medians first (ours / theirs, below 1 is quicker), then seconds, then the memory of
our whole server: idle, and at its highest in each size. --quick leaves out the two big sizes.

The targets are for git as it comes out of the package, which checks no objects. Ours checks each one; "checked" is
the ratio to a git that does so too (transfer.fsckObjects).
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.history import write_history, write_random
from tests.e2e.world import World, free_port

RESULTS = Path("bench-results")
SSHD = shutil.which("sshd", path=os.defpath + ":/usr/sbin:/usr/local/sbin")
BRANCH = "main:refs/heads/bench"


@dataclass(frozen=True)
class Size:
    name: str
    rounds: int
    target: float  # the ratio to stay below
    make: Callable[[Path], None]
    big: bool = False


@dataclass
class Figures:
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    checked: list[float] = field(default_factory=list)  # theirs, told to look at objects as ours does
    peak_mb: float = 0.0

    def ratio(self, seconds: list[float]) -> float:
        return statistics.median(self.ours) / statistics.median(seconds)


SIZES = (
    Size("5 small files", 15, 0.3, lambda path: write_history(path, commits=1, files=5)),
    Size("1.9 k objects", 7, 0.6, lambda path: write_history(path, commits=310, files=60)),
    Size("10 k objects", 5, 0.8, lambda path: write_history(path, commits=1670, files=200)),
    Size("60 k objects", 5, 0.7, lambda path: write_history(path, commits=10_080, files=600), big=True),
    Size("one 500 MB file", 3, 0.4, lambda path: write_random(path, 500_000_000), big=True),
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="without the two big sizes")
    options.add_argument("--rounds", type=int, help="pushes of each size to each server")
    chosen = options.parse_args()
    if SSHD is None:
        options.error("sshd is not installed: apt-get install openssh-server")
    sizes = [size for size in SIZES if not (size.big and chosen.quick)]
    with tempfile.TemporaryDirectory(prefix="gp-", dir="/var/tmp") as folder:
        root = Path(folder)
        world = World(root)
        world.start()
        try:
            with sshd(root / "sshd", world) as port:
                ours = Ours(world)
                servers = ours, Theirs(world, port, root), Theirs(world, port, root, "transfer.fsckObjects=true")
                idle = ours.memory_mb()
                figures = {size.name: measure(size, root, *servers, chosen.rounds) for size in sizes}
        finally:
            world.close()
    report(sizes, figures, idle)


def measure(size: Size, root: Path, ours: Ours, theirs: Theirs, checked: Theirs, rounds: int | None) -> Figures:
    """Pushes in turn, another one first in every round."""
    source, figures = root / "source", Figures()
    size.make(source)
    ours.forget_peak()
    turns = [(ours, figures.ours), (theirs, figures.theirs), (checked, figures.checked)]
    for number in range(rounds or size.rounds):
        first = number % len(turns)
        for server, seconds in turns[first:] + turns[:first]:
            with server.destination() as url:
                os.sync()  # what the other one has left to write
                begin = time.perf_counter()
                push(source, url, server.world)
                seconds.append(time.perf_counter() - begin)
    figures.peak_mb = ours.peak_mb()
    shutil.rmtree(source)
    return figures


def push(source: Path, url: str, world: World) -> None:
    done = subprocess.run(
        ["git", "push", "-q", url, BRANCH], cwd=source, env=world.env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"a push to {url} failed:\n{done.stderr}")


class Ours:
    """The whole server: SSH, router, reconcile, logs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._number = 0
        time.sleep(2)

    @contextmanager
    def destination(self) -> Iterator[str]:
        self._number += 1
        app = f"bench-{self._number}"
        if (done := self.world.ssh("apps:create", app)).code:
            raise SystemExit(f"apps:create failed: {done}")
        yield f"paas:{app}"
        self.world.ssh("apps:destroy", app, "--confirm", app)

    def memory_mb(self) -> float:
        return self._status("VmRSS")

    def peak_mb(self) -> float:
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        with suppress(OSError):  # only the owner of the process may
            self._proc("clear_refs").write_text("5")

    def _status(self, name: str) -> float:
        lines = self._proc("status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 1000

    def _proc(self, name: str) -> Path:
        assert self.world.process
        return Path(f"/proc/{self.world.process.pid}/{name}")


class Theirs:
    """sshd and git as they come out of the package, with these settings of git."""

    def __init__(self, world: World, port: int, folder: Path, *settings: str) -> None:
        self.world = world
        self._port = port
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._settings = settings
        self._number = 0

    @contextmanager
    def destination(self) -> Iterator[str]:
        self._number += 1
        path = self._folder / f"{self._number}.git"
        subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
        for setting in self._settings:
            subprocess.run(["git", f"--git-dir={path}", "config", *setting.split("=", 1)], check=True)
        yield f"ssh://{pwd.getpwuid(os.getuid()).pw_name}@sshd:{self._port}{path}"
        shutil.rmtree(path)


@contextmanager
def sshd(folder: Path, world: World) -> Iterator[int]:
    """A private sshd that the world's user can log in to. Its port."""
    folder.mkdir()
    port = free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"], check=True)
    (folder / "authorized").write_text((world.user / "tester.pub").read_text())
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with world.ssh_config.open("a") as file:
        file.write(f"Host sshd\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {world.user / 'tester'}\n")
        file.write(
            "  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        )
    process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", folder / "config"], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise SystemExit("sshd does not start")


def report(sizes: list[Size], figures: dict[str, Figures], idle: float) -> None:
    print(
        f"{'':16} {'ratio':>6} {'target':>7} {'checked':>8}   {'ours s':>8} {'sshd+git s':>10} {'checked s':>10}"
        f" {'pushes':>7} {'peak MB':>8}"
    )
    for size in sizes:
        row = figures[size.name]
        ours, theirs, checked = (statistics.median(seconds) for seconds in (row.ours, row.theirs, row.checked))
        print(
            f"{size.name:16} {row.ratio(row.theirs):6.2f} {size.target:7.2f} {row.ratio(row.checked):8.2f}  "
            f" {ours:8.3f} {theirs:10.3f} {checked:10.3f} {len(row.ours):7} {row.peak_mb:8.1f}"
        )
    peak = max(row.peak_mb for row in figures.values())
    print(f"server memory: idle {idle:.1f} MB (target 45), highest {peak:.1f} MB (target 100)")
    RESULTS.mkdir(exist_ok=True)
    results = {
        "idle_mb": idle,
        "peak_mb": peak,
        "sizes": {
            size.name: {
                "ratio": row.ratio(row.theirs),
                "ratio_checked": row.ratio(row.checked),
                "target": size.target,
                "peak_mb": row.peak_mb,
                "seconds": vars(row),
            }
            for size in sizes
            if (row := figures[size.name])
        },
    }
    (RESULTS / "receive.json").write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
