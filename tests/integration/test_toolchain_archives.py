"""Tools from release archives: fetched over TLS, taken for what they are only with the right checksum, once."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from toolbox import Page, Site, digest, hello, packed, pins, script, serving

from gitpaas.config import Config
from gitpaas.errors import ToolFailed
from gitpaas.toolchain import Toolchain, fetch, unpack
from gitpaas.toolchain.pins import Archive, Pins

GOOD = packed({"release/bin/hello": script("hello 1.0"), "release/bin/extra": script("extra"), "README": b"hi"})
CHILD = """
import pickle, sys
from gitpaas.toolchain import Toolchain
config, pins = pickle.load(sys.stdin.buffer)
print(Toolchain(config, pins).path("hello"), flush=True)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path / "site") as site:
        yield site


@pytest.fixture
def config(config: Config, site: Site) -> Config:
    return site.trusted_by(config)


def failure(config: Config, archive: Archive) -> str:
    """What installing from this archive fails with; nothing may be left of it."""
    with pytest.raises(ToolFailed) as caught:
        Toolchain(config, pins(hello(archive=archive))).path("hello")
    assert list(config.toolchain.iterdir()) == []
    return caught.value.message


def child(config: Config, pinned: Pins) -> subprocess.Popen[bytes]:
    """Another process that wants the tool."""
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(pickle.dumps((config, pinned)))
    process.stdin.close()
    process.stdin = None  # communicate() would flush it
    return process


def wait_for(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_binaries_come_out_of_the_archive_and_nothing_else(config: Config, site: Site) -> None:
    said: list[str] = []
    toolchain = Toolchain(config, pins(hello(archive=site.archive("hello.tgz", GOOD))))

    path = toolchain.path("hello", said.append)
    assert path == config.toolchain / "hello-1.0/hello"
    assert path.stat().st_mode & 0o7777 == 0o755
    assert toolchain.path("extra") == path.with_name("extra")
    assert sorted(one.name for one in path.parent.iterdir()) == ["extra", "hello", "installed.json"]
    assert said == [f"Fetching hello 1.0: {site.url}/hello.tgz", "Installed hello 1.0"]
    assert site.asked == ["/hello.tgz"]
    assert all(found.ok for found in toolchain.check() if found.tool == "hello")


def test_behind_a_redirect(config: Config, site: Site) -> None:
    archive = site.archive("hello.tgz", GOOD)
    site.pages["/latest"] = Page(status=302, headers={"Location": "/hello.tgz"})

    Toolchain(config, pins(hello(archive=replace(archive, url=f"{site.url}/latest")))).install("hello")
    assert site.asked == ["/latest", "/hello.tgz"]


def test_a_redirect_out_of_https_is_not_followed(config: Config, site: Site) -> None:
    site.pages["/latest"] = Page(status=302, headers={"Location": "http://127.0.0.1:1/hello.tgz"})

    assert "only https will do" in failure(config, Archive(f"{site.url}/latest", digest(GOOD)))


def test_only_https_is_asked(config: Config) -> None:
    assert "only https will do" in failure(config, Archive("http://127.0.0.1:1/hello.tgz", digest(GOOD)))


def test_another_checksum(config: Config, site: Site) -> None:
    archive = site.archive("hello.tgz", packed({"hello": script("hello 1.0; rm -rf /")}))

    said = failure(config, replace(archive, digest=digest(GOOD)))
    assert "hello.tgz is not what it should be: its sha256 is " in said
    assert digest(GOOD).partition(":")[2] in said


def test_an_archive_cut_off(config: Config, site: Site) -> None:
    archive = site.archive("hello.tgz", GOOD, Page(promised=len(GOOD) + 10))

    assert f"cut off after {len(GOOD)} of {len(GOOD) + 10} bytes" in failure(config, archive)


def test_an_archive_that_is_none(config: Config, site: Site) -> None:
    assert "hello.tgz cannot be unpacked" in failure(config, site.archive("hello.tgz", b"<html>Sign in</html>"))


def test_half_an_archive_with_the_right_checksum(config: Config, site: Site) -> None:
    assert "hello.tgz cannot be unpacked" in failure(config, site.archive("hello.tgz", GOOD[: len(GOOD) // 2]))


@pytest.mark.parametrize(
    "content",
    [
        packed({"bin/hallo": script("hello 1.0")}),
        packed({"bin/hello/readme": b""}),
        packed({}, links={"bin/hello": "/bin/sh"}),
    ],
    ids=["another name", "a directory", "a link"],
)
def test_an_archive_without_the_binary(config: Config, site: Site, content: bytes) -> None:
    assert "hello.tgz has no hello" in failure(config, site.archive("hello.tgz", content))


def test_an_archive_of_another_version(config: Config, site: Site) -> None:
    archive = site.archive("hello.tgz", packed({"hello": script("hello 0.9")}))

    assert "hello should be hello 1.0, but answers: hello 0.9" in failure(config, archive)


def test_a_binary_for_another_machine(config: Config, site: Site) -> None:
    archive = site.archive("hello.tgz", packed({"hello": b"\x7fELF\x02\x01\x01" + b"\0" * 60}))

    assert "hello does not run: hello cannot be started: Exec format error" in failure(config, archive)


def test_a_path_that_leads_out_of_the_archive_leads_nowhere(config: Config, site: Site) -> None:
    archive = site.archive("hello.tgz", packed({"../../../hello": script("hello 1.0")}))

    assert Toolchain(config, pins(hello(archive=archive))).path("hello") == config.toolchain / "hello-1.0/hello"
    assert not (config.toolchain.parent / "hello").exists()


def test_more_than_fits(config: Config, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = site.archive("hello.tgz", GOOD)
    monkeypatch.setattr(unpack, "_MOST", 20)
    assert "unpacks to more than" in failure(config, archive)

    monkeypatch.setattr(fetch, "_MOST", 20)
    assert "larger than" in failure(config, archive)


def test_a_server_that_falls_silent(config: Config, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    archive = site.archive("hello.tgz", GOOD, Page(gate=gate))
    monkeypatch.setattr(fetch, "_SILENCE", 0.2)

    assert "timed out" in failure(config, archive)
    gate.set()


def test_a_server_that_nobody_vouches_for(config: Config, site: Site) -> None:
    archive = site.archive("hello.tgz", GOOD)
    stranger = replace(config, environ={"PATH": config.environ["PATH"]})

    assert "certificate verify failed" in failure(stranger, archive)


def test_a_page_that_is_not_there(config: Config, site: Site) -> None:
    assert "cannot be fetched: Not Found" in failure(config, Archive(f"{site.url}/gone.tgz", digest(GOOD)))


def test_nobody_listens(config: Config) -> None:
    assert "Connection refused" in failure(config, Archive("https://127.0.0.1:1/hello.tgz", digest(GOOD)))


def test_the_proxy_of_the_environment_is_asked(config: Config, site: Site) -> None:
    archive = site.archive("hello.tgz", GOOD)
    behind = replace(config, environ={**config.environ, "https_proxy": "http://127.0.0.1:1"})
    assert "Connection refused" in failure(behind, archive)

    spared = replace(behind, environ={**behind.environ, "no_proxy": "127.0.0.1"})
    Toolchain(spared, pins(hello(archive=archive))).install("hello")


def test_a_damaged_tool_is_installed_again(config: Config, site: Site) -> None:
    toolchain = Toolchain(config, pins(hello(archive=site.archive("hello.tgz", GOOD))))
    path = toolchain.path("hello")
    path.write_bytes(path.read_bytes().replace(b"1.0", b"6.6"))
    toolchain.install("hello")

    assert path.read_bytes() == script("hello 1.0")
    assert site.asked == ["/hello.tgz"] * 2
    toolchain.install("hello")
    assert site.asked == ["/hello.tgz"] * 2


def test_two_who_want_it_at_once_install_it_once(config: Config, site: Site) -> None:
    gate = threading.Event()
    pinned = pins(hello(archive=site.archive("hello.tgz", GOOD, Page(gate=gate))))
    both = [child(config, pinned), child(config, pinned)]
    wait_for(lambda: site.asked)
    gate.set()

    answers = [one.communicate(timeout=100)[0].decode().strip() for one in both]
    assert answers == [str(config.toolchain / "hello-1.0/hello")] * 2
    assert site.asked == ["/hello.tgz"]


def test_who_waits_for_another_installation_is_told(config: Config, site: Site) -> None:
    gate = threading.Event()
    pinned = pins(hello(archive=site.archive("hello.tgz", GOOD, Page(gate=gate))))
    first = child(config, pinned)
    wait_for(lambda: site.asked)
    said: list[str] = []
    second = threading.Thread(target=lambda: Toolchain(config, pinned).path("hello", said.append))
    second.start()
    wait_for(lambda: said)
    gate.set()
    second.join(100)

    assert first.communicate(timeout=100)[0]
    assert said == ["Tools are being installed already; waiting for that"]


def test_an_installation_killed_half_way_leaves_nothing_that_looks_installed(config: Config, site: Site) -> None:
    gate = threading.Event()
    archive = site.archive("hello.tgz", GOOD, Page(gate=gate))
    killed = child(config, pins(hello(archive=archive)))
    wait_for(lambda: list(config.toolchain.glob(".tools-*/hello.tgz")))
    killed.kill()
    killed.communicate()
    gate.set()

    toolchain = Toolchain(config, pins(hello(archive=archive)))
    assert [state.state for state in toolchain.installed() if state.tool == "hello"] == ["missing"]
    site.pages["/hello.tgz"].gate = None
    assert toolchain.path("hello").exists()
    assert [path.name for path in config.toolchain.iterdir()] == ["hello-1.0"]
