"""The `Host paas` block that scripts/quickstart keeps in an OpenSSH configuration."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("sshconfig", Path(__file__).parents[2] / "scripts" / "sshconfig.py")
assert _SPEC
assert _SPEC.loader
sshconfig = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(sshconfig)


KNOWN = Path("/h/.gitpaas/known_hosts")


def block(port: int = 2222, known_hosts: str | Path = KNOWN) -> str:
    key = Path("/h/.ssh/id_ed25519")
    return sshconfig.block(host="127.0.0.1", port=port, user="git", key=key, known_hosts=Path(known_hosts))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".ssh" / "config"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_new_file_is_private(path: Path) -> None:
    assert sshconfig.put(path, block())

    assert path.read_text() == block()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_second_time_changes_nothing(path: Path) -> None:
    write(path, "Host other\n  Port 22\n")
    sshconfig.put(path, block())
    before = path.read_bytes()

    assert not sshconfig.put(path, block())
    assert path.read_bytes() == before


def test_open_permissions_are_mended(path: Path) -> None:
    sshconfig.put(path, block())
    path.chmod(0o666)

    assert sshconfig.put(path, block())
    assert path.stat().st_mode & 0o777 == 0o600


def test_changed_port_replaces_the_block(path: Path) -> None:
    write(path, "Host other\n  Port 22\n")
    sshconfig.put(path, block(2222))

    assert sshconfig.put(path, block(2300))

    assert path.read_text() == f"{block(2300)}\nHost other\n  Port 22\n"


def test_block_that_slid_below_others_moves_to_the_top(path: Path) -> None:
    write(path, f"Host *\n  Port 1\n\n{block()}")

    assert sshconfig.put(path, block())

    assert path.read_text().startswith(block())


def test_comments_may_stand_above(path: Path) -> None:
    write(path, f"# mine\n\n{block()}")
    path.chmod(0o600)

    assert not sshconfig.put(path, block())


@pytest.mark.parametrize("line", ["Host paas", "  host  other paas", 'Host "paas"', "Host=paas"])
def test_a_host_of_the_users_own_is_left_alone(path: Path, line: str) -> None:
    write(path, f"{line}\n  Port 22\n")

    with pytest.raises(sshconfig.HostTaken):
        sshconfig.put(path, block())

    assert path.read_text() == f"{line}\n  Port 22\n"


def test_remove_gives_back_the_file_as_it_was(path: Path) -> None:
    write(path, "Host other\n  Port 22\n")
    sshconfig.put(path, block())

    assert sshconfig.remove(path, KNOWN)
    assert path.read_text() == "Host other\n  Port 22\n"
    assert not sshconfig.remove(path, KNOWN)


def test_remove_takes_a_file_that_was_all_ours(path: Path) -> None:
    sshconfig.put(path, block())

    assert sshconfig.remove(path, KNOWN)
    assert not path.exists()


def test_block_of_another_state_directory_stays(path: Path) -> None:
    sshconfig.put(path, block())

    assert not sshconfig.remove(path, Path("/h/other/known_hosts"))
    assert path.read_text() == block()


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles"
    write(real, "")
    path.parent.mkdir()
    path.symlink_to(real)

    sshconfig.put(path, block())

    assert path.is_symlink()
    assert real.read_text() == block()


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("home", ["/h", "/with space", "/100%d"])
def test_openssh_reads_it_as_meant(path: Path, home: str) -> None:
    write(path, "User nobody\nHost *\n  Port 1\n  ProxyCommand nc %h\n")
    sshconfig.put(path, block(known_hosts=f"{home}/known_hosts"))

    seen = subprocess.run(["ssh", "-F", path, "-G", "paas"], capture_output=True, text=True, check=True).stdout
    other = subprocess.run(["ssh", "-F", path, "-G", "other"], capture_output=True, text=True, check=True).stdout

    for line in ("hostname 127.0.0.1", "port 2222", "user git", "stricthostkeychecking true", "hostkeyalias paas"):
        assert line in seen.splitlines()
    assert f"userknownhostsfile {home}/known_hosts" in seen.replace("%%", "%").replace('"', "")
    assert "proxycommand nc" not in seen
    assert "user nobody" in other.splitlines()
